"""llama.cpp behind the engine protocol: a continuous-batching scheduler of our own on the low-level API of llama-cpp-python."""
