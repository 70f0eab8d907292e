"""The HTTP surface: search, embeddings, files, vector stores. No route knows a concrete index or model."""
