"""ONNX Runtime behind the engine protocol, through onnxruntime-genai: where llama.cpp cannot be compiled, and for exported edge flavors.

Its CPU build has no continuous batching, so sequences take turns, one token each, on one thread, each with a KV cache of its own; an idle cache is rewound to
what the next prompt of the same tenant shares with it. Sampling, masks and stops are the service's own. It refuses to know HTTP and templates.
"""

import asyncio
import importlib
import json
import threading
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from slipway_shared import errors

from slipway_generator import machine
from slipway_generator.engine import Delta, EngineLoad, GenerateRequest
from slipway_generator.engines.delivery import Delivery
from slipway_generator.engines.grammar import Grammars
from slipway_generator.engines.huggingface import HubTokenizer
from slipway_generator.engines.sequence import Salt, Sequence, Vocabulary
from slipway_generator.model import ModelCard, StartRefused
from slipway_generator.opened import Opened
from slipway_generator.settings import Settings

MAX_TURNS = 4
"""Sequences that take turns; more would each be slower and none sooner done."""


@dataclass(eq=False)
class _Place:
    """One native generator and what its KV cache holds."""

    native: Any
    salt: Salt | None = None
    held: NDArray[np.int32] | None = None
    sequence: Sequence | None = None


class OnnxEngine:
    """Engine protocol over one onnxruntime-genai folder."""

    def __init__(self, card: ModelCard, tokenizer: HubTokenizer, ends: frozenset[int], settings: Settings, log: Any) -> None:
        self._card = card
        self._settings = settings
        self._log = log
        self._vocabulary = Vocabulary(tokenizer.pieces, ends)
        self._grammars = Grammars(tokenizer.pieces, tokenizer.control, ends, tokenizer.encode)
        self._lock = threading.Condition()
        self._waiting: list[Sequence] = []
        self._places: list[_Place] = []
        self._closing = False
        self._problem: str | None = "not started"
        self._delivery: Delivery | None = None
        self._thread = threading.Thread(target=self._live, name="decode", daemon=True)

    async def start(self) -> None:
        threads = machine.choose_threads(self._settings.threads, machine.usable_cores())
        self._log.info("onnxruntime-genai", threads=threads.count, threads_reason=threads.reason, turns=MAX_TURNS)
        self._places = await asyncio.to_thread(self._open, threads.count)
        await asyncio.to_thread(self._grammars.prepare)
        self._delivery = Delivery()
        self._problem = None
        self._thread.start()

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[Delta]:
        if self._delivery is None:
            raise StartRefused("the engine was not started.")
        delivery = self._delivery
        mask = (
            await asyncio.to_thread(self._grammars.compile, request.constraint, request.tenant) if request.constraint is not None else None
        )
        sequence = Sequence(request, self._vocabulary, delivery.deliver, mask=mask)
        delivery.open(sequence)
        try:
            self._submit(sequence)
            async with aclosing(delivery.read(sequence)) as deltas:
                async for delta in deltas:
                    yield delta
        finally:
            delivery.close(sequence)
            sequence.cancelled = True

    def load(self) -> EngineLoad:
        running = [place.sequence for place in self._places if place.sequence is not None]
        room = max(1, len(self._places)) * self._card.context_tokens
        return EngineLoad(len(running), len(self._waiting), sum(one.done for one in running) / room, self._problem)

    async def aclose(self) -> None:
        with self._lock:
            self._closing = True
            self._lock.notify()
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join)
        self._places.clear()

    def _open(self, threads: int) -> list[_Place]:
        try:
            og: Any = importlib.import_module("onnxruntime_genai")
        except ImportError as error:
            raise StartRefused("onnxruntime-genai is not installed; install slipway-generator[onnx].") from error
        try:
            config = og.Config(str(self._card.folder))
            config.overlay(json.dumps({"model": {"decoder": {"session_options": {"intra_op_num_threads": threads}}}}))
            model = og.Model(config)
            parameters = og.GeneratorParams(model)
            parameters.set_search_options(max_length=self._card.context_tokens)
            return [_Place(og.Generator(model, parameters)) for _ in range(min(MAX_TURNS, self._settings.max_sequences))]
        except (RuntimeError, ValueError) as error:
            raise StartRefused(f"ONNX Runtime cannot load {self._card.id}: {str(error)[:300]}.") from error

    def _submit(self, sequence: Sequence) -> None:
        with self._lock:
            if self._closing or self._problem is not None:
                raise errors.Overloaded("The engine is stopping; try again.", code="engine_failed")
            free = sum(place.sequence is None for place in self._places)
            if len(self._waiting) >= self._settings.max_waiting + free:
                raise errors.QueueFull("The queue is full; try again.", retry_after_seconds=1.0 + len(self._waiting) / 4)
            self._waiting.append(sequence)
            self._lock.notify()

    def _live(self) -> None:
        delivery = self._delivery
        assert delivery is not None
        while self._collect():
            self._seat()
            delivery.flush()
            for place in self._places:
                if place.sequence is not None:
                    self._turn(place, place.sequence)
                    delivery.flush()
        for sequence in [*self._waiting, *(place.sequence for place in self._places if place.sequence is not None)]:
            delivery.deliver(sequence, errors.Overloaded("This instance is shutting down; try again.", code="draining"))
        delivery.flush()

    def _collect(self) -> bool:
        with self._lock:
            while not self._closing and not self._waiting and all(place.sequence is None for place in self._places):
                self._lock.wait()
            return not self._closing

    def _seat(self) -> None:
        with self._lock:
            for sequence in [one for one in self._waiting if one.cancelled or _over(one) is not None]:
                self._waiting.remove(sequence)
                if (over := _over(sequence)) is not None:
                    sequence.deliver(sequence, over)
            self._waiting.sort(key=lambda sequence: (sequence.request.priority, sequence.arrived))
            # Who is free is asked anew for each: a sequence may have taken a place further back, where its prompt was known.
            while self._waiting and (free := [place for place in self._places if place.sequence is None]):
                self._reuse(self._waiting.pop(0), free)

    def _reuse(self, sequence: Sequence, free: list[_Place]) -> None:
        """Seat `sequence` on the free place that knows most of its prompt already."""
        prompt = sequence.tokens[: sequence.length]
        best = max(free, key=lambda place: _known(place, sequence.salt, prompt))
        shared = min(_known(best, sequence.salt, prompt), len(prompt) - 1) if sequence.request.prompt_logprobs is None else 0
        place = best if shared else free[0]
        place.sequence, place.salt, place.held = sequence, sequence.salt, None
        sequence.done = sequence.shared = shared
        place.native.rewind_to(shared)

    def _turn(self, place: _Place, sequence: Sequence) -> None:
        """One token (or the prompt) of one sequence; whatever happens to it stays with it."""
        try:
            if (over := _over(sequence)) is not None:
                raise over
            if sequence.cancelled:
                self._leave(place)
                return
            self._advance(place.native, sequence)
        except errors.SlipwayError as error:
            sequence.deliver(sequence, error)
            self._leave(place)
        except Exception as error:  # noqa: BLE001 (the thread's edge: the caller is told, the thread lives on)
            self._log.error("decode failed", exc_info=error)
            sequence.done = 0
            sequence.deliver(
                sequence, errors.UpstreamFailed("The engine failed while it generated this answer; try again.", code="engine_failed")
            )
            self._leave(place)
        else:
            if sequence.finish is not None:
                self._leave(place)

    def _advance(self, native: Any, sequence: Sequence) -> None:
        if sequence.started is None:
            sequence.started = time.monotonic()
        scored = sequence.prefilling and sequence.request.prompt_logprobs is not None
        # Only the last row's logits come back, so a prompt that is to be scored is fed token by token.
        end = sequence.done + 1 if scored else sequence.length
        start = sequence.done
        native.append_tokens(sequence.tokens[start:end])
        sequence.done = end
        logits: NDArray[np.float32] = native.get_logits()[0, -1:]
        if scored:
            sequence.note_prompt(logits, start)
        if not sequence.prefilling:
            sequence.deliver(sequence, sequence.take(logits) if sequence.request.max_tokens else sequence.empty())

    def _leave(self, place: _Place) -> None:
        sequence = place.sequence
        if sequence is not None:
            place.held = sequence.tokens[: sequence.done].copy()
            place.sequence = None


async def open_onnx(card: ModelCard, settings: Settings, log: Any) -> Opened:
    """Load the card's folder and start its engine; raises StartRefused."""
    if card.folder is None or not (card.folder / "genai_config.json").is_file():
        raise StartRefused("engine onnx opens a folder that holds genai_config.json.")
    model = json.loads((card.folder / "genai_config.json").read_text(encoding="utf-8")).get("model", {})
    ends = model.get("eos_token_id", ())
    tokenizer = await asyncio.to_thread(HubTokenizer, card.folder)
    engine = OnnxEngine(card, tokenizer, frozenset(ends if isinstance(ends, list) else [ends]), settings, log)
    template = tokenizer.template(card.folder)
    await engine.start()
    return Opened(card, engine, tokenizer, template, settings)


def _over(sequence: Sequence) -> errors.SlipwayError | None:
    deadline = sequence.request.deadline
    late = deadline is not None and time.monotonic() > deadline
    return errors.DeadlineExceeded("The request's deadline passed before the answer was complete.") if late else None


def _known(place: _Place, salt: Salt, prompt: NDArray[np.int32]) -> int:
    if place.held is None or place.salt != salt:
        return 0
    size = min(len(place.held), len(prompt))
    differs = place.held[:size] != prompt[:size]
    return int(differs.argmax()) if differs.any() else size
