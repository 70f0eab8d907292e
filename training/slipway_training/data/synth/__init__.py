"""Synthetic rows: prompts, a teacher behind an OpenAI-compatible URL, strict filters, safety checks, and a record of all of it."""
