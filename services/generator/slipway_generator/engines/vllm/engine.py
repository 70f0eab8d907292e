"""Requests to a vLLM server and deltas from it. Admission, deadlines, stop strings and text are ours; batching, caching and masks are vLLM's.

It refuses to know how the server is kept alive.
"""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import aiohttp
import orjson
from slipway_shared import errors
from slipway_shared.dialect import sse

from slipway_generator.adapters import AdapterCard
from slipway_generator.engine import Counts, Delta, EngineLoad, FinishReason, GenerateRequest, Timing
from slipway_generator.engines.grammar import Grammars
from slipway_generator.engines.huggingface import HubTokenizer
from slipway_generator.engines.places import Places
from slipway_generator.engines.vllm.gauges import ACCEPTED, DRAFTED
from slipway_generator.engines.vllm.server import VllmServer
from slipway_generator.engines.vllm.wire import Frame, body_of, frame_of
from slipway_generator.model import ModelCard, StartRefused
from slipway_generator.opened import Opened
from slipway_generator.settings import Settings
from slipway_generator.spelling import Spelling

MAX_ERROR_BYTES = 1 << 16


class VllmEngine:
    """Engine protocol over one server."""

    def __init__(self, card: ModelCard, server: VllmServer, tokenizer: HubTokenizer, ends: frozenset[int], settings: Settings) -> None:
        self._card = card
        self._server = server
        self._tokenizer = tokenizer
        self._ends = ends
        self._grammars = Grammars(tokenizer.pieces, tokenizer.control, ends, tokenizer.encode)
        self._settings = settings
        self._places = Places(settings.max_sequences, settings.max_waiting)
        self._adapters: dict[str, AdapterCard] = {}
        server.on_up = self._load_again

    @property
    def base(self) -> str:
        """Where the server listens."""
        return self._server.base

    @property
    def process_id(self) -> int | None:
        """The server's process; None when it was attached."""
        return self._server.process_id

    async def start(self) -> None:
        await self._server.start()

    async def aclose(self) -> None:
        await self._server.aclose()

    async def load_adapter(self, card: AdapterCard) -> None:
        await self._load(card)
        self._adapters[card.name] = card

    async def unload_adapter(self, name: str) -> None:
        self._adapters.pop(name, None)
        await self._call("/v1/unload_lora_adapter", {"lora_name": name})

    def load(self) -> EngineLoad:
        server = self._server
        return EngineLoad(
            self._places.running,
            self._places.waiting,
            server.kv_use,
            server.problem,
            drafted=server.drafts.gained(DRAFTED),
            accepted=server.drafts.gained(ACCEPTED),
        )

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[Delta]:
        body = body_of(request, self._card.id, speculates=bool(self._settings.vllm_speculative))
        if request.constraint is not None:
            # The same library that vLLM will ask: what it refuses is a 400 here, before anything is queued, as with every other engine.
            await asyncio.to_thread(self._grammars.compile, request.constraint, request.tenant)
        arrived = time.monotonic()
        async with self._places.one(request.deadline):
            reading = _Reading(request, self._tokenizer, self._ends, arrived, time.monotonic())
            async with aclosing(self._frames(request, body)) as frames:
                async for frame in frames:
                    if (delta := reading.take(frame)) is not None:
                        yield delta
                    if reading.finish is not None and frame.cached is not None:
                        break
            yield reading.last()

    async def _load_again(self) -> None:
        """A server that was started again knows no adapters."""
        for card in self._adapters.values():
            await self._load(card)

    async def _load(self, card: AdapterCard) -> None:
        if not (card.folder / "adapter_config.json").is_file():
            raise errors.BadRequest("vLLM takes an adapter as a PEFT folder with adapter_config.json.", code="adapter_refused")
        await self._call("/v1/load_lora_adapter", {"lora_name": card.name, "lora_path": str(card.folder)})

    async def _call(self, path: str, body: dict[str, str]) -> None:
        try:
            async with self._server.session.post(self._server.base + path, json=body) as response:
                if response.status != 200:
                    raise await _refused(response)
        except (aiohttp.ClientError, OSError) as error:
            raise _cut() from error

    async def _frames(self, request: GenerateRequest, body: dict[str, Any]) -> AsyncGenerator[Frame]:
        """The server's frames; leaving this generator closes the connection, which ends the sequence there."""
        try:
            async with self._server.session.post(f"{self._server.base}/v1/completions", json=body) as response:
                if response.status != 200:
                    raise await _refused(response)
                if not body["stream"]:
                    yield frame_of(orjson.loads(await self._within(request, response.read())), request)
                    return
                reader = sse.FrameReader()
                while chunk := await self._within(request, response.content.readany()):
                    for payload in reader.feed(chunk):
                        if payload == b"[DONE]":
                            return
                        yield frame_of(_event(payload), request)
                raise _cut()
        except (aiohttp.ClientError, OSError) as error:
            raise _cut() from error

    async def _within(self, request: GenerateRequest, work: Any) -> bytes:
        """Bytes before the deadline and before the server was silent for too long."""
        left = _left(request)
        idle = self._settings.vllm_idle_seconds
        try:
            return await asyncio.wait_for(work, idle if left is None else min(left, idle))
        except TimeoutError:
            if left is not None and left <= idle:
                raise errors.DeadlineExceeded("The request's deadline passed before the answer was complete.") from None
            raise errors.UpstreamFailed(f"vLLM was silent for {idle:.0f} s.", code="engine_failed") from None


class _Reading:
    """One answer as it grows: frames in, deltas out, the end token dropped, stop strings found by our own rules."""

    def __init__(self, request: GenerateRequest, tokenizer: HubTokenizer, ends: frozenset[int], arrived: float, started: float) -> None:
        self._request = request
        self._tokenizer = tokenizer
        self._ends = ends
        self._arrived, self._started = arrived, started
        self._first: float | None = None
        self._spelling = Spelling(request.stops)
        self._completion = 0
        self._cached = 0
        self.finish: FinishReason | None = None

    def take(self, frame: Frame) -> Delta | None:
        """The delta of a frame; None where it gained nothing."""
        self._cached = frame.cached if frame.cached is not None else self._cached
        if self.finish is not None:
            return None
        tokens: list[int] = []
        text: list[str] = []
        for token in frame.tokens:
            if self._request.max_tokens == 0:
                break
            if token in self._ends:
                self.finish = "stop"
                break
            tokens.append(token)
            text.append(self._spelling.feed(self._tokenizer.piece(token)))
            if self._spelling.stopped:
                self.finish = "stop"
                break
        self._completion += len(tokens)
        if tokens and self._first is None:
            self._first = time.monotonic()
        if frame.finish is not None and self.finish is None:
            self.finish = "length" if frame.finish == "length" else "stop"
        if not tokens and frame.prompt_logprobs is None:
            return None
        return Delta("".join(text), tuple(tokens), frame.logprobs[: len(tokens)], prompt_logprobs=frame.prompt_logprobs)

    def last(self) -> Delta:
        """The end of the answer with its counts."""
        timing = Timing(self._started - self._arrived, (self._first or time.monotonic()) - self._started)
        counts = Counts(len(self._request.prompt), self._completion, self._cached)
        return Delta(self._spelling.finish(), (), (), self.finish or "length", counts, timing)


async def open_vllm(card: ModelCard, settings: Settings, log: Any) -> Opened:
    """Start (or attach to) the server of the card's folder; raises StartRefused."""
    if card.folder is None or not (card.folder / "config.json").is_file():
        raise StartRefused("engine vllm opens a folder that holds config.json, safetensors and tokenizer.json.")
    tokenizer = await asyncio.to_thread(HubTokenizer, card.folder)
    template = tokenizer.template(card.folder)
    engine = VllmEngine(card, VllmServer(card, settings, log), tokenizer, tokenizer.ends(card.folder), settings)
    await engine.start()
    return Opened(card, engine, tokenizer, template, settings)


async def _refused(response: aiohttp.ClientResponse) -> errors.SlipwayError:
    """vLLM's refusal in our words: a 4xx is the request's fault, everything else the server's."""
    raw = (await response.content.read(MAX_ERROR_BYTES)).decode(errors="replace")
    if 400 <= response.status < 500 and response.status not in (408, 429):
        try:
            message = str(orjson.loads(raw).get("error", {}).get("message", ""))[:300]
        except (orjson.JSONDecodeError, AttributeError):
            message = ""
        return errors.BadRequest(f"vLLM refuses the request: {message or response.status}.", code="unsupported_parameter")
    return errors.Overloaded("vLLM cannot take the request now; try again.", code="engine_failed", retry_after_seconds=2.0)


def _event(payload: bytes) -> dict[str, Any]:
    try:
        event = orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        raise errors.UpstreamFailed("vLLM sent a frame that is no JSON.", code="engine_failed") from error
    if not isinstance(event, dict) or "error" in event:
        raise errors.UpstreamFailed("vLLM failed while it generated this answer; try again.", code="engine_failed")
    return event


def _cut() -> errors.UpstreamFailed:
    return errors.UpstreamFailed("vLLM broke off while it generated this answer; try again.", code="engine_failed")


def _left(request: GenerateRequest) -> float | None:
    return None if request.deadline is None else max(0.0, request.deadline - time.monotonic())
