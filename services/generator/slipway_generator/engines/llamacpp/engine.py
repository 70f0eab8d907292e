"""The llama.cpp engine as asyncio sees it: requests in, deltas out. It refuses to know batches; the scheduler's thread does the work."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from slipway_shared import errors

from slipway_generator.adapters import AdapterCard
from slipway_generator.engine import Delta, EngineLoad, GenerateRequest
from slipway_generator.engines.delivery import Delivery
from slipway_generator.engines.drafting import Pace, PromptLookup
from slipway_generator.engines.grammar import Grammars
from slipway_generator.engines.llamacpp.apart import choose_apart
from slipway_generator.engines.llamacpp.context import Context
from slipway_generator.engines.llamacpp.drafter import Drafter
from slipway_generator.engines.llamacpp.memory import KvMemory
from slipway_generator.engines.llamacpp.prefix import PrefixCache
from slipway_generator.engines.llamacpp.scheduler import Limits, Scheduler
from slipway_generator.engines.llamacpp.seat import Seated
from slipway_generator.engines.llamacpp.weights import GgufTokenizer, Weights
from slipway_generator.engines.sequence import MAX_FORCED, Vocabulary
from slipway_generator.model import StartRefused
from slipway_generator.settings import Settings


class LlamaCppEngine:
    """Engine protocol over one GGUF."""

    def __init__(
        self,
        weights: Weights,
        tokenizer: GgufTokenizer,
        settings: Settings,
        *,
        cells: int,
        longest: int,
        threads: int,
        log: Any,
        draft: Weights | None = None,
    ) -> None:
        self._weights = weights
        self._draft = draft
        self._drafter: Drafter | None = None
        self._settings = settings
        self._cells = cells
        self._longest = longest
        self._threads = threads
        self._log = log
        self._vocabulary = Vocabulary(tokenizer.pieces, weights.ends())
        self._grammars = Grammars(tokenizer.pieces, tokenizer.control, self._vocabulary.ends, tokenizer.encode)
        self._context: Context | None = None
        self._scheduler: Scheduler | None = None
        self._delivery: Delivery | None = None

    async def start(self) -> None:
        settings = self._settings
        slots = settings.max_sequences
        rows = max(settings.batch_tokens, (1 + MAX_FORCED) * settings.max_sequences + 2 * settings.draft_tokens)
        pooled = self._cells < slots * self._longest
        self._context = await asyncio.to_thread(
            Context,
            self._weights,
            cells=self._cells,
            rows=rows,
            slots=slots,
            threads=self._threads,
            kv_type=settings.kv_type,
            pooled=pooled,
        )
        await asyncio.to_thread(self._compute_apart, self._context, "model")
        memory = KvMemory(self._context, slots=slots, prefixes=PrefixCache(settings.prefix_entries, settings.prefix_mb << 20))
        limits = Limits(settings.max_sequences, settings.max_waiting, rows, settings.prefill_chunk)
        self._delivery = Delivery(even=settings.even)
        self._drafter = await asyncio.to_thread(self._open_drafter, limits.draft_sequences, settings.batch_tokens)
        self._scheduler = Scheduler(self._context, memory, limits, self._delivery.flush, self._log, self._drafter)
        self._scheduler.start()
        await asyncio.to_thread(self._grammars.prepare)

    def _open_drafter(self, seats: int, rows: int) -> Drafter | None:
        if self._draft is None:
            return None
        context = Context(self._draft, cells=seats * self._longest, rows=rows, slots=seats, threads=self._threads, pooled=False)
        self._compute_apart(context, "draft")
        return Drafter(context, seats=seats, rows=rows)

    def _compute_apart(self, context: Context, name: str) -> None:
        apart = choose_apart(context)
        context.compute_apart(apart.rows)
        self._log.info("rows of a step", of=name, apart=apart.rows, apart_reason=apart.reason)

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[Delta]:
        if self._scheduler is None or self._delivery is None:
            raise StartRefused("the engine was not started.")
        scheduler, delivery = self._scheduler, self._delivery
        drafts = self._settings.speculate and request.prompt_logprobs is None
        lookup = PromptLookup(self._settings.draft_tokens) if drafts and self._settings.prompt_lookup else None
        pace = Pace(self._settings.draft_tokens) if drafts and self._drafter is not None else None
        mask = (
            await asyncio.to_thread(self._grammars.compile, request.constraint, request.tenant) if request.constraint is not None else None
        )
        sequence = Seated(request, self._vocabulary, delivery.deliver, mask=mask, lookup=lookup, pace=pace)
        await delivery.gather()
        delivery.open(sequence)
        try:
            scheduler.submit(sequence)
            async with aclosing(delivery.read(sequence)) as deltas:
                async for delta in deltas:
                    yield delta
        finally:
            delivery.close(sequence)
            scheduler.cancel(sequence)

    async def load_adapter(self, card: AdapterCard) -> None:
        if self._scheduler is None or card.entry.suffix != ".gguf":
            raise errors.BadRequest("llama.cpp takes an adapter as a GGUF; the manifest's entry is none.", code="adapter_refused")
        handle = await asyncio.to_thread(self._weights.load_adapter, card.entry)
        if handle is None:
            raise errors.BadRequest("llama.cpp cannot load the adapter: it does not fit this model.", code="adapter_refused")
        await asyncio.wrap_future(self._scheduler.turns.put(card.name, handle))

    async def unload_adapter(self, name: str) -> None:
        if self._scheduler is not None:
            await asyncio.wrap_future(self._scheduler.turns.drop(name, self._weights.free_adapter))

    def load(self) -> EngineLoad:
        return self._scheduler.load() if self._scheduler is not None else EngineLoad(problem="not started")

    async def aclose(self) -> None:
        if self._scheduler is not None:
            await asyncio.to_thread(self._scheduler.close)
            self._scheduler = None
        if self._context is not None:
            self._context.free()
            self._context = None
        if self._drafter is not None:
            self._drafter.free()
            self._drafter = None
        if self._draft is not None:
            self._draft.free()
        self._weights.free()
