"""`/v1/responses`: the newer OpenAI dialect, translated at the edge into a chat request and back."""
