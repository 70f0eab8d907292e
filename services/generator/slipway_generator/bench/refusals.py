"""What a bad request costs: `python -m slipway_generator.bench.refusals --model FOLDER`, each kind in turns while another stream is answered.

Every row must be a 4xx. It knows the bad inputs by name and refuses to judge the time: the table shows medians and the slowest.
"""

import argparse
import asyncio
import contextlib
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import aiohttp

from slipway_generator.bench import peers

CHAT, LEGACY = "/v1/chat/completions", "/v1/completions"


def nested(depth: int) -> dict[str, Any]:
    """A schema of `depth` objects in each other."""
    return {"type": "object", "properties": {"a": nested(depth - 1)}} if depth else {"type": "integer"}


def form(schema: dict[str, Any]) -> dict[str, Any]:
    """The request field that asks for `schema`."""
    return {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}}


SCHEMAS: dict[str, dict[str, Any]] = {
    "schema of 100 levels": nested(100),
    "schema of 6,000 properties": {"type": "object", "properties": {f"k{at}": {"type": "string"} for at in range(6000)}},
    "schema wrong at its end": {
        "anyOf": [{"type": "object", "properties": {f"x{at}": {"type": "integer"}}} for at in range(800)] + [{"type": "foo"}]
    },
    "oneOf of 999 strings": {"oneOf": [{"type": "string", "maxLength": at} for at in range(1, 1000)]},
    "reference to itself": {"$ref": "#"},
    "reference elsewhere": {"$ref": "http://127.0.0.1:9/schema"},
    "look-around": {"type": "string", "pattern": "(?=a)(?!b).*"},
    "8 patterns that must meet": {"allOf": [{"type": "string", "pattern": f"([a-z]|{c}{{1,50}})*{c}[a-z]{{5,20}}"} for c in "abcdefgh"]},
    "impossible range": {"type": "integer", "minimum": 3, "maximum": 1},
}
FIELDS: dict[str, dict[str, Any]] = {
    "n of 1,000": {"n": 1000},
    "max_tokens below 0": {"max_tokens": -1},
    "logprobs out of range": {"logprobs": True, "top_logprobs": 99},
    "logit_bias of 5,000": {"logit_bias": {str(at): 1 for at in range(5000)}},
    "logit_bias beyond the vocabulary": {"logit_bias": {"9999999": 1}},
    "50 stop strings": {"stop": [str(at) for at in range(50)]},
    "seed of 100 digits": {"seed": 10**99},
    "unknown tool": {"tool_choice": {"type": "function", "function": {"name": "none"}}},
    "prompt beyond the context": {"messages": [{"role": "user", "content": "fox " * 60_000}]},
    "another model": {"model": "nobody:int8"},
}


def bodies() -> dict[str, tuple[str, dict[str, Any]]]:
    """Every bad request: (path, body) by name."""
    chat = {"messages": [{"role": "user", "content": "the fox"}], "max_tokens": 8, "model": "bench"}
    found = {name: (CHAT, {**chat, **form(schema)}) for name, schema in SCHEMAS.items()}
    found |= {name: (CHAT, {**chat, **fields}) for name, fields in FIELDS.items()}
    found["empty prompt"] = (LEGACY, {"model": "bench", "prompt": ""})
    return found


def main() -> int:
    """Print the table; 1 when something was not refused."""
    parser = argparse.ArgumentParser(prog="slipway_generator.bench.refusals", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--model", type=Path, required=True, help="folder of a flavor")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    asked = parser.parse_args()
    rows = asyncio.run(_measure(asked.model, asked.rounds))
    sys.stdout.write(f"{'bad input':<34} {'status':>6} {'p50 ms':>8} {'max ms':>8}\n")
    for name, (status, times) in rows.items():
        sys.stdout.write(f"{name:<34} {status:>6} {1e3 * statistics.median(times):>8.1f} {1e3 * max(times):>8.1f}\n")
    if asked.json:
        asked.json.write_text(json.dumps({name: {"status": status, "seconds": times} for name, (status, times) in rows.items()}, indent=1))
    return int(any(not 400 <= status < 500 for status, _ in rows.values()))


async def _measure(model: Path, rounds: int) -> dict[str, tuple[int, list[float]]]:
    rows: dict[str, tuple[int, list[float]]] = {}
    async with peers.ours(model, 8, 1, served_name="bench") as peer, aiohttp.ClientSession() as session:
        beside = asyncio.create_task(_stream(session, peer.base))
        for _ in range(rounds):
            for name, (path, body) in bodies().items():
                data = json.dumps(body).encode()
                started = time.perf_counter()
                async with session.post(peer.base + path, data=data, headers={"Content-Type": "application/json"}) as response:
                    await response.read()
                    rows.setdefault(name, (response.status, []))[1].append(time.perf_counter() - started)
        beside.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await beside
    return rows


async def _stream(session: aiohttp.ClientSession, base: str) -> None:
    """One answer after the other, so that refusals are timed beside real work."""
    body = {"model": "bench", "prompt": "the fox", "max_tokens": 200, "temperature": 0, "stream": True}
    while True:
        async with session.post(base + LEGACY, json=body) as response:
            await response.read()


if __name__ == "__main__":
    sys.exit(main())
