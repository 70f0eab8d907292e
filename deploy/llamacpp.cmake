# Read right after llama-cpp-python's own `project()`. It builds llama.cpp's "common" library whether one wants it or not, and nothing in the Python package
# uses it: a normal variable is what a forced cache entry cannot override (CMP0126). It is half of the compile time.
set(LLAMA_BUILD_COMMON OFF)

# llama.cpp's AMX kernels, with three faults mended in the unpacked source. A text that is not there exactly once ends the build: look at the new source then.
if(GGML_AMX_TILE)
    set(kernels "${CMAKE_CURRENT_SOURCE_DIR}/vendor/llama.cpp/ggml/src/ggml-cpu/amx/mmq.cpp")
    file(READ "${kernels}" source)
    macro(mend old new)
        string(REPLACE "${old}" "" without "${source}")
        string(LENGTH "${source}" before)
        string(LENGTH "${without}" after)
        string(LENGTH "${old}" length)
        math(EXPR removed "${before} - ${after}")
        if(NOT removed EQUAL length)
            message(FATAL_ERROR "llama.cpp's AMX kernels changed: '${old}' is not in ${kernels} exactly once")
        endif()
        string(REPLACE "${old}" "${new}" source "${source}")
    endmacro()
    # ldtilecfg reads 64 bytes; gcc 12's _tile_loadconfig declares 8 of them, and the compiler drops what stands in the others (ggml-org/llama.cpp#20824).
    mend("_tile_loadconfig(&tc)" "__asm__ volatile(\"ldtilecfg %0\" : : \"m\"(tc))")
    # Another library in the same thread (oneDNN below torch, OpenVINO) loads or releases a configuration of its own: load ours for every piece of work.
    mend("static thread_local bool done = false" "bool done = false")
    # Where a row is a single block of 32 numbers, the first sum was added to what stood in the memory before.
    mend("if (M == 2 * TILE_M) {" "if (M == 2 * TILE_M && KB > 1) {")
    file(WRITE "${kernels}" "${source}")
endif()
