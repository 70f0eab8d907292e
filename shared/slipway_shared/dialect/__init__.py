"""OpenAI's shapes, declared once: what callers send us, and what gateway and generator say to each other."""
