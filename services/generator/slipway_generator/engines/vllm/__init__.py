"""vLLM behind the engine protocol: a server process of its own, started and supervised here, or attached by its address."""
