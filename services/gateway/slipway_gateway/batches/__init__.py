"""Batches: many requests in one file, run while nobody waits."""
