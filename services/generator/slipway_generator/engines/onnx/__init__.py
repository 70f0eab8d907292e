"""ONNX Runtime behind the engine protocol, through onnxruntime-genai: where llama.cpp cannot be compiled, and for exported edge flavors."""
