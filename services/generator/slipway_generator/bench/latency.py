"""What a flavor takes on this machine: `python -m slipway_generator.bench.latency --model FOLDER [--write]`, one request at a time, one thread.

`ttft_ms`, `tpot_ms` (medians) and `rss_mb`, named for the device class (`ttft_ms@x86`): what `/v1/models/{id}/builds` shows and what routing believes of a pool that
has no traffic yet. `--write` puts them into the flavor's manifest, whose digest changes. It refuses to judge them: write figures of a quiet machine only.
"""

import argparse
import asyncio
import platform
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import aiohttp
import orjson
from slipway_shared import grounding, manifest
from slipway_shared.dialect import sse

from slipway_generator.bench import peers
from slipway_generator.bench.cases import prose

PASSAGES, WORDS, TOKENS = 3, 60, 32
DEVICES = {"x86_64": "x86", "AMD64": "x86", "aarch64": "arm", "arm64": "arm"}


def main() -> int:
    """Print the figures of each flavor."""
    parser = argparse.ArgumentParser(prog="slipway_generator.bench.latency", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--model", type=Path, action="append", required=True, help="folder of a flavor; may be given several times")
    parser.add_argument("--rounds", type=int, default=15, help="requests of which medians are taken, after three that warm up")
    parser.add_argument("--write", action="store_true", help="put the figures into the manifest")
    asked = parser.parse_args()
    device = DEVICES.get(platform.machine(), "x86")
    for folder in asked.model:
        figures = asyncio.run(measure(folder, asked.rounds, device))
        card, _digest = manifest.read_manifest(folder)
        sys.stdout.write(f"{card.id}: " + ", ".join(f"{name} {value:.1f}" for name, value in figures.items()) + "\n")
        if asked.write:
            rounded = {name: round(value, 2) for name, value in figures.items()}
            manifest.write_manifest(folder, card.model_copy(update={"eval": {**card.eval, **rounded}}))
    return 0


async def measure(folder: Path, rounds: int, device: str) -> dict[str, float]:
    """Medians over `rounds` questions to three passages, every one of which is new."""
    card, _digest = manifest.read_manifest(folder)
    firsts, each = list[float](), list[float]()
    async with peers.ours(folder, 1, 1) as peer, aiohttp.ClientSession() as session:
        for number in range(-3, rounds):
            first, between = await _ask(session, peer.base, card.id, number)
            if number >= 0:
                firsts.append(first)
                each += [between] if between is not None else []
        resident = peer.resident_bytes()
    figures = {f"ttft_ms@{device}": 1e3 * statistics.median(firsts), f"rss_mb@{device}": resident / 2**20}
    return figures | ({f"tpot_ms@{device}": 1e3 * statistics.median(each)} if each else {})


async def _ask(session: aiohttp.ClientSession, base: str, model: str, number: int) -> tuple[float, float | None]:
    """Seconds to the first token, and between tokens (None for an answer that came at once)."""
    passages = [prose(WORDS, seed=1000 + number * 7 + at) for at in range(PASSAGES)]
    messages = [{"role": "system", "content": grounding.passages_message(passages)}, {"role": "user", "content": passages[1][:40] + "?"}]
    body: dict[str, Any] = {"model": model, "messages": messages, "max_tokens": TOKENS, "temperature": 0, "stream": True}
    started, times, reader = time.perf_counter(), list[float](), sse.FrameReader()
    async with session.post(f"{base}/v1/chat/completions", json=body) as response:
        if response.status != 200:
            raise peers.PeerFailed(f"{model} answered {response.status}: {(await response.text())[:200]}")
        async for chunk in response.content.iter_any():
            said = [one for one in reader.feed(chunk) if one != b"[DONE]" and _text(one)]
            times += [time.perf_counter()] * len(said)
    if not times:
        return time.perf_counter() - started, None
    spread = times[-1] - times[0]
    return times[0] - started, spread / (len(times) - 1) if len(times) > 4 and spread > 0 else None


def _text(payload: bytes) -> bool:
    return any((choice.get("delta") or {}).get("content") for choice in orjson.loads(payload).get("choices", ()))


if __name__ == "__main__":
    sys.exit(main())
