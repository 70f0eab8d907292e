// Read before every C++ file of llama.cpp (llamacpp.cmake), where AMX is on.
//
// ldtilecfg reads 64 bytes. gcc 12's _tile_loadconfig declares the first 8 of them alone, so the compiler drops what the program stored in the others, and the
// processor refuses the configuration (ggml-org/llama.cpp#20824). This one declares them all.
#pragma once
#if defined(__AMX_TILE__) && defined(__GNUC__) && !defined(__clang__)
#include <immintrin.h>
struct slipway_tile_config {
    char bytes[64];
};
#define _tile_loadconfig(config) __asm__ volatile("ldtilecfg %0" : : "m"(*(const struct slipway_tile_config *) (config)))
#endif
