"""The HTTP surface, one module per group of routes. They translate; decisions are made in the pipeline."""
