"""The only public door: OpenAI dialect, keys, limits, and the pipeline from question to cited answer."""
