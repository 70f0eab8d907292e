"""Trained weights to flavors: GGUF for llama.cpp, ONNX for onnxruntime-genai, each in a folder with a manifest."""
