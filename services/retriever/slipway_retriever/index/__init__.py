"""Vectors and words to ranked passage numbers."""
