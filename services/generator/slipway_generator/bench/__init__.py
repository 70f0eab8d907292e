"""The generator beside llama-server on the same GGUF: interleaved rounds, CPU seconds and wall time, ratios of medians."""
