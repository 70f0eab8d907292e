"""Files, vector stores, embeddings, hybrid search. It knows no generator, no reranker and no gateway."""
