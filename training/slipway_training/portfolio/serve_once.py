"""One GGUF file loaded, read and written once: `python -m slipway_training.portfolio.serve_once PATH CONTEXT PROMPT WRITE THREADS` prints JSON.

A process of its own, so that its memory is the flavor's and no cache is warm but the file system's.
"""

import json
import sys
import time
from pathlib import Path

from slipway_training.quiet import silence_llama_cpp


def serve_once(path: Path, context: int, prompt: int, write: int, threads: int) -> dict[str, float]:
    """`load_ms` to the first logits, `rss_mb` at the end, and the tokens/s of a prompt of `prompt` tokens and of `write` tokens after it."""
    import llama_cpp
    import numpy as np

    silence_llama_cpp()
    begun = time.perf_counter()
    llama = llama_cpp.Llama(str(path), n_ctx=context, n_threads=threads, n_threads_batch=threads, n_batch=min(512, context), verbose=False)
    llama.eval([5])
    loaded = time.perf_counter()
    llama.reset()
    ids = np.random.default_rng(0).integers(5, llama.n_vocab(), prompt).tolist()
    llama.eval(ids)
    read = time.perf_counter()
    for token in ids[:write]:
        llama.eval([token])
    done = time.perf_counter()
    return {
        "load_ms": 1e3 * (loaded - begun), "rss_mb": _resident(), "prefill_tokens_per_second": prompt / (read - loaded),
        "decode_tokens_per_second": write / (done - read),
    }  # fmt: skip


def _resident() -> float:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(float(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


if __name__ == "__main__":
    print(json.dumps(serve_once(Path(sys.argv[1]), *map(int, sys.argv[2:6]))))  # noqa: T201
