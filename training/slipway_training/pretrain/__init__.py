"""Pretraining: a Llama decoder from packed rows, restartable at any token."""
