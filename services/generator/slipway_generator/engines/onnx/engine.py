"""The ONNX engine as asyncio sees it: requests in, deltas out. Sampling, masks and stops are the service's own.

It refuses to know places and batches (the scheduler's thread does the work), HTTP and templates.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from slipway_generator import machine
from slipway_generator.engine import Delta, EngineLoad, GenerateRequest
from slipway_generator.engines.delivery import Delivery
from slipway_generator.engines.grammar import Grammars
from slipway_generator.engines.huggingface import HubTokenizer
from slipway_generator.engines.onnx.native import Native
from slipway_generator.engines.onnx.scheduler import MAX_PLACES, Limits, Scheduler
from slipway_generator.engines.onnx.sizing import choose_together
from slipway_generator.engines.sequence import Sequence, Vocabulary
from slipway_generator.model import ModelCard, StartRefused
from slipway_generator.opened import Opened
from slipway_generator.settings import Settings


class OnnxEngine:
    """Engine protocol over one onnxruntime-genai folder."""

    def __init__(self, native: Native, tokenizer: HubTokenizer, settings: Settings, log: Any) -> None:
        self._native = native
        self._settings = settings
        self._log = log
        self._vocabulary = Vocabulary(tokenizer.pieces, native.ends)
        self._grammars = Grammars(tokenizer.pieces, tokenizer.control, native.ends, tokenizer.encode)
        self._scheduler: Scheduler | None = None
        self._delivery: Delivery | None = None

    async def start(self) -> None:
        self._delivery = Delivery(even=self._settings.even)
        settings = self._settings
        try:
            together = await asyncio.to_thread(choose_together, self._native, settings.onnx_batch, settings.max_sequences)
            limits = Limits(settings.max_sequences, settings.max_waiting, together.most, together.gather_seconds)
            self._scheduler = await asyncio.to_thread(Scheduler, self._native, limits, self._delivery.flush, self._log)
        except (RuntimeError, MemoryError) as error:
            raise StartRefused(f"ONNX Runtime has no room for {MAX_PLACES} KV caches: {str(error)[:300]}.") from error
        self._log.info("onnx batches", places=MAX_PLACES, batch=together.most, batch_reason=together.reason)
        await asyncio.to_thread(self._grammars.prepare)
        self._scheduler.start()

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[Delta]:
        if self._scheduler is None or self._delivery is None:
            raise StartRefused("the engine was not started.")
        scheduler, delivery = self._scheduler, self._delivery
        mask = (
            await asyncio.to_thread(self._grammars.compile, request.constraint, request.tenant) if request.constraint is not None else None
        )
        sequence = Sequence(request, self._vocabulary, delivery.deliver, mask=mask)
        await delivery.gather()
        delivery.open(sequence)
        try:
            scheduler.submit(sequence)
            async with aclosing(delivery.read(sequence)) as deltas:
                async for delta in deltas:
                    yield delta
        finally:
            delivery.close(sequence)
            sequence.cancelled = True

    def load(self) -> EngineLoad:
        return self._scheduler.load() if self._scheduler is not None else EngineLoad(problem="not started")

    async def aclose(self) -> None:
        if self._scheduler is not None:
            await asyncio.to_thread(self._scheduler.close)
            self._scheduler = None


async def open_onnx(card: ModelCard, settings: Settings, log: Any) -> Opened:
    """Load the card's folder and start its engine; raises StartRefused."""
    if card.folder is None or not (card.folder / "genai_config.json").is_file():
        raise StartRefused("engine onnx opens a folder that holds genai_config.json.")
    tokenizer = await asyncio.to_thread(HubTokenizer, card.folder)
    threads = machine.choose_threads(settings.threads, machine.usable_cores())
    log.info("onnxruntime-genai", threads=threads.count, threads_reason=threads.reason)
    native = await asyncio.to_thread(Native, card.folder, card.context_tokens, threads.count)
    engine = OnnxEngine(native, tokenizer, settings, log)
    template = tokenizer.template(card.folder)
    await engine.start()
    return Opened(card, engine, tokenizer, template, settings)
