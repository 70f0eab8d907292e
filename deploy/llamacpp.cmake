# Read right after llama-cpp-python's own `project()`. It builds llama.cpp's "common" library whether one wants it or not, and nothing in the Python package
# uses it: a normal variable is what a forced cache entry cannot override (CMP0126). It is half of the compile time.
set(LLAMA_BUILD_COMMON OFF)
