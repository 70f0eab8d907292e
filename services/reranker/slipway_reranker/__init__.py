"""Scores passages against a query and says whether they hold an answer at all. It knows no store and no generator."""
