"""HTTP: the OpenAI dialect in, the engine protocol out. No route knows a concrete engine."""
