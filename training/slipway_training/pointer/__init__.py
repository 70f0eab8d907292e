"""The pointer reader: an encoder that points at the words that answer, in the passages that it was given."""
