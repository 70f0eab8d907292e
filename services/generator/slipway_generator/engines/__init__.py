"""The engines, and the one place that chooses between them. Each imports its library lazily, in the one file that needs it."""
