# Read right after llama-cpp-python's own `project()`. It builds llama.cpp's "common" library whether one wants it or not, and nothing in the Python package
# uses it: a normal variable is what a forced cache entry cannot override (CMP0126). It is half of the compile time.
set(LLAMA_BUILD_COMMON OFF)
if(GGML_AMX_TILE)
    add_compile_options("$<$<COMPILE_LANGUAGE:CXX>:SHELL:-include \"${CMAKE_CURRENT_LIST_DIR}/llamacpp_amx.h\">")
endif()
