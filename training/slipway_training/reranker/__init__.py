"""A MiniLM cross-encoder: lists that search mined, a listwise loss, distillation from a larger one, and the folder that the reranker serves."""
