"""Cold and warm start: `python -m slipway_generator.bench.start --model FOLDER [--model FOLDER ...]`, from process start to ready to the first token.

Cold: the pages of the model and of the engines' libraries are asked out of the page cache before the start (posix_fadvise; pages that another process has
mapped stay). Warm: the start right after it. It refuses to drop caches of the whole machine, which would need root and disturb others.
"""

import argparse
import asyncio
import importlib.util
import json
import os
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import aiohttp
from slipway_shared import manifest

from slipway_generator.bench import peers

LIBRARIES = ("llama_cpp", "onnxruntime", "onnxruntime_genai", "llguidance", "tokenizers", "numpy", "pydantic_core")
FIGURES = ("ready_seconds", "first_token_seconds", "cpu_seconds")


def main() -> int:
    """Print the table and, with --json, write the figures."""
    parser = argparse.ArgumentParser(prog="slipway_generator.bench.start", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--model", type=Path, action="append", required=True, help="folder of a flavor; may be given several times")
    parser.add_argument("--rounds", type=int, default=3, help="cold and warm starts of each model, in turns; medians are shown")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    asked = parser.parse_args()
    rows = asyncio.run(_measure(asked.model, asked.rounds))
    line = "{:<38} {:<5} {:>10} {:>14} {:>8}\n"
    sys.stdout.write(line.format("flavor", "start", "ready s", "first token s", "CPU s"))
    for name, kinds in rows.items():
        for kind, row in kinds.items():
            sys.stdout.write(line.format(name, kind, *(f"{row[figure]:.2f}" for figure in FIGURES)))
    if asked.json:
        asked.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    return 0


def forget(paths: Sequence[Path]) -> int:
    """Ask the kernel to drop the pages of every file below `paths`; how many bytes that concerns."""
    total = 0
    for path in paths:
        for file in _files(path):
            handle = os.open(file, os.O_RDONLY)
            try:
                os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
                total += os.fstat(handle).st_size
            finally:
                os.close(handle)
    return total


async def _measure(models: Sequence[Path], rounds: int) -> dict[str, dict[str, dict[str, float]]]:
    seen: dict[str, dict[str, list[dict[str, float]]]] = {}
    for _ in range(rounds):
        for model in models:
            card, _digest = manifest.read_manifest(model)
            kinds = seen.setdefault(f"{card.id} ({card.engine})", {"cold": [], "warm": []})
            forget([model, *_libraries()])
            kinds["cold"].append(await _start(model, card.id))
            kinds["warm"].append(await _start(model, card.id))
    return {
        name: {kind: {figure: statistics.median(one[figure] for one in runs) for figure in FIGURES} for kind, runs in kinds.items()}
        for name, kinds in seen.items()
    }


async def _start(model: Path, name: str) -> dict[str, float]:
    started = time.monotonic()
    async with peers.ours(model, 4, 1) as peer, aiohttp.ClientSession() as session:
        ready = time.monotonic() - started
        body = {"model": name, "prompt": "Slipway serves small language models", "max_tokens": 1, "stream": True}
        async with session.post(f"{peer.base}/v1/completions", json=body) as response:
            if response.status != 200:
                raise peers.PeerFailed(f"{name} answered {response.status}: {(await response.text())[:200]}")
            async for line in response.content:
                if line.startswith(b"data: {"):
                    break
        return {"ready_seconds": ready, "first_token_seconds": time.monotonic() - started, "cpu_seconds": peer.cpu_seconds()}


def _libraries() -> list[Path]:
    found = (importlib.util.find_spec(name) for name in LIBRARIES)
    return [Path(folder) for spec in found if spec is not None for folder in spec.submodule_search_locations or ()]


def _files(path: Path) -> Iterator[Path]:
    return (one for one in path.rglob("*") if one.is_file())


if __name__ == "__main__":
    sys.exit(main())
