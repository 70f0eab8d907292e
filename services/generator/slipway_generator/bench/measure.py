"""One round of one case on one peer: every stream at once, each timed frame by frame. It refuses to know what peers are."""

import asyncio
import time
from dataclasses import dataclass
from typing import Any

import aiohttp
import jsonschema_rs
import orjson
from slipway_shared.dialect import sse

from slipway_generator.bench.cases import SCHEMA, Case
from slipway_generator.bench.peers import Peer, PeerFailed


@dataclass(frozen=True, slots=True)
class Round:
    """Figures of one round; times in seconds. `valid`: share of constrained answers that satisfy the schema (1.0 for others). `drafted` and `accepted`: tokens
    that were guessed ahead, and those that were right; 0 of peers that do not say it."""

    tokens: int
    wall: float
    cpu: float
    first: tuple[float, ...]
    gaps: tuple[float, ...]
    valid: float
    drafted: int = 0
    accepted: int = 0


@dataclass
class _Stream:
    first: float = 0.0
    gaps: list[float] | None = None
    tokens: int = 0
    text: str = ""


async def run_round(session: aiohttp.ClientSession, peer: Peer, case: Case, number: int) -> Round:
    """All streams of `case` at once."""
    before = await _drafts(session, peer)
    cpu, started = peer.cpu_seconds(), time.perf_counter()
    streams = await asyncio.gather(*(_stream(session, peer, case, case.body(number, at)) for at in range(case.streams)))
    wall, cpu = time.perf_counter() - started, peer.cpu_seconds() - cpu
    after = await _drafts(session, peer)
    return Round(
        tokens=sum(stream.tokens for stream in streams),
        wall=wall,
        cpu=cpu,
        first=tuple(stream.first for stream in streams),
        gaps=tuple(gap for stream in streams for gap in stream.gaps or ()),
        valid=sum(_valid(stream.text) for stream in streams) / len(streams) if case.schema else 1.0,
        drafted=sum(after) - sum(before),
        accepted=after[0] - before[0],
    )


async def _drafts(session: aiohttp.ClientSession, peer: Peer) -> tuple[int, int]:
    """Drafted tokens so far: those that were right, and those that were not."""
    if not peer.counts:
        return 0, 0
    async with session.get(f"{peer.base}/metrics") as response:
        lines = (await response.text()).splitlines()
    counted = dict(line.rsplit(" ", 1) for line in lines if line.startswith("slipway_speculative_tokens_total{"))
    right, wrong = (int(float(counted.get(f'slipway_speculative_tokens_total{{result="{name}"}}', 0))) for name in ("accepted", "rejected"))
    return right, wrong


async def _stream(session: aiohttp.ClientSession, peer: Peer, case: Case, body: dict[str, Any]) -> _Stream:
    asked = {"model": "bench", **body, "stream": True, "stream_options": {"include_usage": True}}
    started = previous = time.perf_counter()
    out, reader = _Stream(gaps=[]), sse.FrameReader()
    async with session.post(peer.base + case.path, json=asked) as response:
        if response.status != 200:
            raise PeerFailed(f"{peer.name} answered {case.name} with {response.status}: {(await response.text())[:300]}")
        async for chunk in response.content.iter_any():
            now = time.perf_counter()
            fresh = sum(_take(out, payload) for payload in reader.feed(chunk))
            if fresh and not out.first:
                out.first = now - started
            elif fresh and out.gaps is not None:
                out.gaps.append(now - previous)
            previous = now if fresh else previous
    return out


def _take(out: _Stream, payload: bytes) -> int:
    """1 when the frame carries text."""
    if payload == b"[DONE]":
        return 0
    event = orjson.loads(payload)
    if event.get("usage"):
        out.tokens = int(event["usage"]["completion_tokens"])
    text = "".join((choice.get("text") or (choice.get("delta") or {}).get("content") or "") for choice in event.get("choices", ()))
    out.text += text
    return int(bool(text))


def _valid(text: str) -> bool:
    try:
        jsonschema_rs.validate(SCHEMA, orjson.loads(text))
    except (orjson.JSONDecodeError, jsonschema_rs.ValidationError):
        return False
    return True
