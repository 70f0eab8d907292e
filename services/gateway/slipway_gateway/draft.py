"""What the generator says, as it comes, and what becomes of it on the way out: held or shown at once, judged, annotated.

A reader's draft is held, because it may have to be withdrawn and what was shown cannot be; a chat model's words are shown as they come, and a last
annotation tells whether they stand on the passages. It refuses to know safety, usage accounts and HTTP.
"""

from collections.abc import AsyncGenerator, Callable
from typing import Any

from slipway_shared import errors

from slipway_gateway.ask import Ask, generator_body
from slipway_gateway.evidence import NOTHING, Evidence
from slipway_gateway.frames import Frame, Writer, batches, no_tokens, relay
from slipway_gateway.judge import Outcome, judge
from slipway_gateway.pour import Pour
from slipway_gateway.routing import Permit
from slipway_gateway.upstream import AWAY

PATH = "/v1/chat/completions"
_JSON = {"content-type": "application/json"}
Instead = Callable[[Ask, Evidence, errors.SlipwayError], Outcome]
Count = Callable[[Outcome], None]


class Drafts:
    """Asks the pool that a request was admitted to, and before the first byte those that may take its place. `instead` gives the outcome that stands in
    for generators that are away, or raises their error; `count` sees every outcome. `guarded`: what streams is looked at in groups."""

    def __init__(self, reader_tokens: int, instead: Instead, count: Count, *, guarded: bool) -> None:
        self._reader_tokens = reader_tokens
        self._instead = instead
        self._count = count
        self._guarded = guarded

    async def complete(self, ask: Ask, evidence: Evidence) -> bytes:
        """The generator's completion, nothing changed."""
        permit = _permit(ask)
        ask.account.asked()
        while True:
            permit.sent()
            try:
                raw = await permit.workers.post(PATH, self._body(ask, evidence), ask.context)
            except errors.ContextOverflow:
                # Without passages the overflow is the caller's own.
                if len(evidence.passages) < 2:
                    raise
                evidence = evidence.first(len(evidence.passages) // 2)
            except AWAY as error:
                if not permit.failed(error):
                    raise
            else:
                permit.finished(0)
                return raw

    async def stream(self, ask: Ask, evidence: Evidence) -> AsyncGenerator[Frame]:
        """The frames of an answer, annotations before its finish, usage and `[DONE]` at its end."""
        if ask.card.kind == "reader" and evidence.passages:
            async for frame in self._held(ask, evidence):
                yield frame
            return
        shown = False
        try:
            async for frame in self._annotated(ask, evidence):
                shown = True
                yield frame
        except AWAY as error:
            if shown:
                raise
            for frame in self._said(ask, self._instead(ask, evidence, error)):
                yield frame

    async def relayed(self, ask: Ask) -> AsyncGenerator[list[Frame]]:
        """The generator's own frames, those that came together in one list, for an answer that nobody judges or guards."""
        permit = _permit(ask)
        ask.account.asked()
        body = self._body(ask, NOTHING)
        outlet = ask.outlet
        pour = None if outlet is None else Pour(outlet, ask.account)
        while True:
            permit.sent()
            try:
                async with permit.workers.open("POST", PATH, body, ask.context, headers=_JSON) as response:
                    async for batch in batches(permit.workers, response, pour):
                        permit.first()
                        for frame in batch:
                            self._note(ask, frame)
                        yield batch
            except AWAY as error:
                if not permit.failed(error):
                    raise
            else:
                permit.finished(ask.account.used[1])
                self._count(Outcome("answer", None))
                return

    async def _held(self, ask: Ask, evidence: Evidence) -> AsyncGenerator[Frame]:
        held: list[Frame] = []
        try:
            async for frame in self._frames(ask, evidence):
                held.append(frame)
        except AWAY as error:
            for frame in self._said(ask, self._instead(ask, evidence, error)):
                yield frame
            return
        outcome = judge(ask, evidence, "".join(frame.text() for frame in held))
        self._count(outcome)
        if outcome.text is not None:
            usage = next((frame.usage for frame in held if frame.usage), None)
            for frame in Writer(ask.request.model, held[0].document).said(outcome, usage or no_tokens()):
                yield frame
            return
        for frame in held:
            if frame.finished:
                yield Writer(ask.request.model, frame.document).delta({"annotations": list(outcome.annotations)})
            yield frame

    async def _annotated(self, ask: Ask, evidence: Evidence) -> AsyncGenerator[Frame]:
        if not evidence.wanted:
            async for frame in self._frames(ask, evidence):
                yield frame
            self._count(Outcome("answer", None))
            return
        said: dict[int, str] = {}
        async for frame in self._frames(ask, evidence):
            for choice in frame.choices:
                index = choice.get("index", 0)
                said[index] = said.get(index, "") + frame.text(index)
                if choice.get("finish_reason") and said[index]:
                    outcome = judge(ask, evidence, said[index])
                    self._count(outcome)
                    if outcome.annotations:
                        writer = Writer(ask.request.model, frame.document)
                        yield writer.delta({"annotations": list(outcome.annotations)}, index=index)
            yield frame

    async def _frames(self, ask: Ask, evidence: Evidence) -> AsyncGenerator[Frame]:
        permit = _permit(ask)
        ask.account.asked()
        while True:
            permit.sent()
            try:
                async with permit.workers.open("POST", PATH, self._body(ask, evidence), ask.context, headers=_JSON) as response:
                    async for frame in relay(permit.workers, response, slow=self._guarded):
                        permit.first()
                        self._note(ask, frame)
                        yield frame
                permit.finished(ask.account.used[1])
                return
            except errors.ContextOverflow:
                # Without passages the overflow is the caller's own.
                if len(evidence.passages) < 2:
                    raise
                evidence = evidence.first(len(evidence.passages) // 2)
            except AWAY as error:
                if not permit.failed(error):
                    raise

    @staticmethod
    def _note(ask: Ask, frame: Frame) -> None:
        usage = frame.usage
        if usage is not None:
            ask.account.exact(usage)
        elif not frame.done:
            ask.account.frame()

    def _said(self, ask: Ask, outcome: Outcome) -> list[Frame]:
        self._count(outcome)
        return list(Writer(ask.request.model).said(outcome, no_tokens()))

    def _body(self, ask: Ask, evidence: Evidence) -> bytes:
        return generator_body(ask, evidence.shown, self._reader_tokens)


def _permit(ask: Ask) -> Permit:
    if ask.permit is None:
        raise errors.UpstreamFailed("This installation has no generator.")
    return ask.permit


def finish(ask: Ask, evidence: Evidence, document: dict[str, Any], count: Count) -> dict[str, Any]:
    """The generator's completion with every choice judged and annotated; usage stays the generator's."""
    for choice in document["choices"]:
        message = choice["message"]
        text = message.get("content") or ""
        outcome = judge(ask, evidence, text) if text else Outcome("answer", None)
        count(outcome)
        if outcome.text is not None:
            message["content"], choice["finish_reason"], choice["logprobs"] = outcome.text, "stop", None
        message["annotations"] = list(outcome.annotations)
    return document
