"""The tokenizer recipe: train, prove, audit and freeze a vocabulary."""
