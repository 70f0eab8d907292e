"""Encoders as sessions. Only rooms that hold an encoder import this: it needs numpy, onnx and an engine, which the rest of `slipway_shared` does not."""
