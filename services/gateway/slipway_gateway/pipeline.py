"""A chat request from question to answer, on one page: what runs beside what, what may fail, and what happens then.

    safety || search   a block cancels the search; safety away -> refuse (or go on, by setting); retriever away -> an answer marked ungrounded
    rerank             away -> the retriever's order;  too little evidence -> a typed abstention, and no model is asked
    generate           away -> quotes from the passages when there are any, else the error itself
    judge              a reader's answer is held until it is known to stand on the passages; if it does not, quotes take its place
    guard              no text leaves unseen; a refused answer ends with a typed refusal
    usage              always the generator's own exact count

It refuses to know HTTP, engines, and how a frame looks.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

import orjson
from slipway_shared import errors
from slipway_shared.contracts import Passage
from slipway_shared.dialect import sse
from slipway_shared.dialect.chat import Retrieval
from slipway_shared.metrics import Metrics

from slipway_gateway.ask import Ask
from slipway_gateway.draft import Drafts, finish
from slipway_gateway.evidence import NOTHING, Evidence
from slipway_gateway.frames import Frame, Writer, no_tokens, singly
from slipway_gateway.guard import REFUSAL, Guard
from slipway_gateway.judge import Outcome, abstain, instead
from slipway_gateway.leaves import Leaves, Parts
from slipway_gateway.restoring import Restorer
from slipway_gateway.routing import Router
from slipway_gateway.safety import Safety
from slipway_gateway.settings import GatewaySettings
from slipway_gateway.sources import Sources
from slipway_gateway.upstream import AWAY


class Pipeline:
    """Answers chat requests with the parts that there are."""

    def __init__(self, parts: Parts, leaves: Leaves, safety: Safety, router: Router, settings: GatewaySettings, metrics: Metrics) -> None:
        self._router = router
        self._settings = settings
        self._metrics = metrics
        self._safety = safety
        self._sources = Sources(leaves, metrics, candidates=settings.candidates, reranks=parts.reranker is not None)
        self._drafts = Drafts(settings.reader_tokens, self._instead, self._count, guarded=safety.present)

    async def complete(self, ask: Ask) -> bytes:
        """The whole answer as a chat completion."""
        ask, evidence = await self._prepare(ask)
        if reason := evidence.thin(self._least(ask)):
            return await self._said(ask, abstain(reason, evidence))
        try:
            raw = await self._drafts.complete(ask, evidence)
        except AWAY as error:
            return await self._said(ask, self._instead(ask, evidence, error))
        ask.stages.mark("ttft")
        document = orjson.loads(raw)
        ask.account.exact(document.get("usage") or {})
        if evidence.wanted:
            document = finish(ask, evidence, document, self._count)
        else:
            self._count(Outcome("answer", None))
        changed = await self._guarded(ask, document)
        # What nobody had to change leaves as it came, byte for byte.
        return orjson.dumps(document) if changed or evidence.wanted else raw

    async def stream(self, ask: Ask) -> AsyncGenerator[bytes]:
        """The answer as SSE frames; raises before the first one when there will be none."""
        ask, evidence = await self._prepare(ask)
        if not evidence.wanted and not self._safety.present:
            async for together in self._relayed(ask):
                yield together
            return
        frames = self._shown(ask, evidence)
        restorer, wants_usage = Restorer(ask.hidden) if ask.hidden else None, ask.wants_usage
        async with contextlib.aclosing(self._guard(ask).groups(frames) if self._safety.present else singly(frames)) as groups:
            async for group in groups:
                pieces: list[bytes] = []
                for frame in group:
                    told = await self._quoting(ask, restorer.frame(frame) if restorer is not None else frame)
                    if (raw := self._sent(ask, told, wants_usage)) is not None:
                        pieces.append(raw)
                if pieces:
                    yield b"".join(pieces)

    async def _quoting(self, ask: Ask, frame: Frame) -> Frame:
        """`frame` with what it quotes from passages looked at, as an answer is."""
        if not self._safety.present or b'"quote":' not in frame.raw:
            return frame
        document: dict[str, Any] = {**(frame.document or {})}
        choices: list[dict[str, Any]] = []
        for choice in frame.choices:
            delta: dict[str, Any] = dict(choice.get("delta") or {})
            if delta.get("annotations"):
                delta["annotations"] = await self._safety.quotes(delta["annotations"], ask.context)
            choices.append({**choice, "delta": delta})
        return Frame(sse.frame({**document, "choices": choices}))

    async def _relayed(self, ask: Ask) -> AsyncGenerator[bytes]:
        """Nothing is to be judged or guarded: frames that came together leave together."""
        shown, wants_usage = False, ask.wants_usage
        try:
            async for batch in self._drafts.relayed(ask):
                pieces = [raw for frame in batch if (raw := self._sent(ask, frame, wants_usage)) is not None]
                shown = True
                yield pieces[0] if len(pieces) == 1 else b"".join(pieces)
        except AWAY as error:
            if shown:
                raise
            self._instead(ask, NOTHING, error)

    def _sent(self, ask: Ask, frame: Frame, wants_usage: bool) -> bytes | None:
        """What leaves for `frame`: its bytes, with the time that it took before the end; nothing for a usage frame that was not asked for."""
        if frame.done:
            return f": x-slipway-timing {ask.stages.summary()}\n\n".encode() + frame.raw
        if not wants_usage and frame.usage is not None and not frame.choices:
            return None
        ask.stages.mark("ttft")
        return frame.raw

    async def _prepare(self, ask: Ask) -> tuple[Ask, Evidence]:
        """The prompt's verdict and the evidence, found side by side; a block cancels the search."""
        asked = ask.retrieval
        if asked is None:
            return await self._safety.prompt(ask), NOTHING
        search = asyncio.create_task(self._sources.search(ask, asked))
        try:
            ask = await self._safety.prompt(ask)
            passages = await search
        finally:
            search.cancel()
            await asyncio.gather(search, return_exceptions=True)
        if passages is None:
            return ask, Evidence(wanted=True, missing="retriever_down")
        evidence = await self._evidence(ask, asked, passages)
        strong = evidence.score >= self._settings.strong_evidence
        return ask, replace(evidence, strong=strong, least_support=self._settings.least_support)

    async def _evidence(self, ask: Ask, asked: Retrieval, passages: list[Passage]) -> Evidence:
        """The best passages, free of instructions. Only those that would reach the prompt are looked at; what is dropped makes room for the next best."""
        while True:
            evidence = await self._sources.rank(ask, asked, passages)
            clean = {passage.id for passage in await self._safety.clean(ask, list(evidence.passages))}
            dropped = {passage.id for passage in evidence.passages} - clean
            if not dropped:
                return evidence
            passages = [passage for passage in passages if passage.id not in dropped]

    async def _shown(self, ask: Ask, evidence: Evidence) -> AsyncGenerator[Frame]:
        if reason := evidence.thin(self._least(ask)):
            outcome = abstain(reason, evidence)
            self._count(outcome)
            for frame in Writer(ask.request.model).said(outcome, no_tokens()):
                yield frame
            return
        async for frame in self._drafts.stream(ask, evidence):
            yield frame

    async def _said(self, ask: Ask, outcome: Outcome) -> bytes:
        """An answer in the gateway's own words; they too come from files, so they are looked at."""
        self._count(outcome)
        document = Writer(ask.request.model).completion(outcome, no_tokens())
        await self._guarded(ask, document)
        return orjson.dumps(document)

    async def _guarded(self, ask: Ask, document: dict[str, Any]) -> bool:
        """Makes `document` fit to be shown; whether anything of it had to be changed."""
        if not self._safety.present:
            return False
        changed = bool(ask.hidden)
        for choice in document["choices"]:
            shown = await self._safety.answered(choice, ask.context, ask.protected())
            changed |= shown != "as it is"
            if shown == "refused":
                message = choice["message"]
                message.pop("tool_calls", None)
                message.update(content=None, refusal=REFUSAL, annotations=[{"type": "safety", "reason": errors.Blocked.code}])
                choice["finish_reason"], choice["logprobs"] = "content_filter", None
                self._count(Outcome("refusal", None))
        if ask.hidden:
            restorer = Restorer(ask.hidden)
            for choice in document["choices"]:
                restorer.choice(choice)
        return changed

    def _guard(self, ask: Ask) -> Guard:
        protected = ask.protected()
        return Guard(
            lambda text, final: self._safety.output(text, ask.context, final=final, protected=protected),
            Writer(ask.request.model),
            window=self._settings.output_window_tokens,
            overlap=self._settings.output_overlap_chars,
            seconds=self._settings.output_window_seconds,
            observe=self._metrics.histogram("slipway_guard_hold_seconds").observe,
        )

    def _instead(self, ask: Ask, evidence: Evidence, error: errors.SlipwayError) -> Outcome:
        """Quotes in place of a generator that is away; the error itself when there is nothing to quote."""
        busy = isinstance(error, (errors.Overloaded, errors.RateLimited))
        self._metrics.counter("slipway_degraded", part="generator").inc()
        if "extract" not in self._router.steps(ask.request.model):
            raise error
        if outcome := instead(ask, evidence, "generator_overloaded" if busy else "generator_down"):
            self._metrics.counter("slipway_fallbacks", to="extract").inc()
            return outcome
        if busy or isinstance(error, errors.DeadlineExceeded):
            raise error
        raise errors.Overloaded("The generator is away; try again.", code="generator_unavailable", retry_after_seconds=2.0) from error

    def _least(self, ask: Ask) -> float:
        asked = ask.retrieval.min_score if ask.retrieval is not None else None
        return self._settings.min_evidence if asked is None else asked

    def _count(self, outcome: Outcome) -> None:
        self._metrics.counter("slipway_answers", outcome=outcome.kind).inc()
