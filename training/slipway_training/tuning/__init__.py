"""Tuning: a base model becomes one that answers. Supervised, low-rank, by preference, and from a teacher."""
