"""What the gateway does with the safety filter's verdicts on prompts, passages and answers. It knows no policy, and no way to send."""

from collections.abc import Awaitable, Collection
from dataclasses import dataclass
from typing import Any, Literal

from slipway_shared import errors
from slipway_shared.context import RequestContext
from slipway_shared.contracts import CheckResponse, Passage
from slipway_shared.metrics import Metrics

from slipway_gateway.ask import Ask
from slipway_gateway.evidence import titled
from slipway_gateway.leaves import Check, Leaves
from slipway_gateway.redaction import moved, redacted, spans_of
from slipway_gateway.tracks import Refused, Track
from slipway_gateway.upstream import AWAY

_BETWEEN = "\n\x1e\n"
"""Stands between messages in the text that the filter reads, so that a redacted text can be taken apart again."""

MAX_CHECKED = 1 << 20
Shown = Literal["as it is", "changed", "refused"]

ALLOWED = CheckResponse(verdict="allow", findings=[])


@dataclass(frozen=True, slots=True)
class Redacted:
    """Texts of a prompt without what the policy hides, and what stands behind each placeholder."""

    texts: list[str]
    placeholders: dict[str, str]


def as_one(texts: list[str], system: Collection[int]) -> Check:
    """The request that asks for a verdict on all texts of a prompt together; of a longer one than the filter takes, on its end."""
    whole = _BETWEEN.join(texts)
    at, ranges, cut = 0, list[tuple[int, int]](), max(0, len(whole) - MAX_CHECKED)
    for i, text in enumerate(texts):
        if i in system and at + len(text) > cut:
            ranges.append((max(at - cut, 0), at + len(text) - cut))
        at += len(text) + len(_BETWEEN)
    return Check(text=whole[cut:], system=tuple(ranges))


class Safety:
    """Asks for verdicts. `present` is false where the platform has no filter: then everything is allowed."""

    def __init__(self, leaves: Leaves, metrics: Metrics, *, present: bool, fail_open: bool) -> None:
        self.present = present
        self._leaves = leaves
        self._metrics = metrics
        self._fail_open = fail_open

    async def prompt(self, ask: Ask) -> Ask:
        """`ask` as it may go on, perhaps redacted; raises Blocked."""
        if not self.present:
            return ask
        with ask.stages.stage("safety"):
            redacted = await self.prompts(ask.spoken(), ask.context, ask.instructed())
        return ask if redacted is None else ask.redacted(redacted.texts, redacted.placeholders)

    async def prompts(self, texts: list[str], context: RequestContext, system: Collection[int] = ()) -> "Redacted | None":
        """What the texts became, None where nothing is to be changed; raises Blocked. `system`: which of them are the developer's own."""
        if not self.present:
            return None
        verdict = await self._verdict(as_one(texts, system), context)
        if verdict.verdict == "block":
            self._metrics.counter("slipway_refused", reason="safety").inc()
            category = next((finding.category for finding in verdict.findings if finding.action == "block"), "policy")
            raise errors.Blocked(f"The request was refused by the safety policy ({category}).")
        if verdict.verdict == "redact" and verdict.text is not None:
            redacted = verdict.text.split(_BETWEEN)
            if len(redacted) != len(texts):
                raise errors.Blocked("The request was refused by the safety policy (it cannot be redacted message by message).")
            return Redacted(redacted, verdict.placeholders)
        return None

    async def clean(self, ask: Ask, passages: list[Passage]) -> list[Passage]:
        """The passages that hold no instructions to the model."""
        if not self.present or not passages:
            return passages
        with ask.stages.stage("safety"):
            verdict = await self._verdict(Check(text="", passages=tuple(titled(p) for p in passages)), ask.context)
        return [passage for i, passage in enumerate(passages) if i not in verdict.dropped]

    def output(self, text: str, context: RequestContext, *, final: bool, protected: tuple[str, ...] = ()) -> Awaitable[CheckResponse]:
        """The verdict on a piece of an answer; `final`: nothing follows it. The `protected` system prompts must not be repeated in it."""
        if len(text) > MAX_CHECKED:
            raise errors.UpstreamFailed("The model's answer is longer than the safety filter reads, so it is not shown.")
        return self._verdict(Check(text=text, side="output", protected=protected, final=final), context)

    async def answered(self, choice: dict[str, Any], context: RequestContext, protected: tuple[str, ...]) -> Shown:
        """Makes a whole choice of a chat completion fit to be shown: its text, its tool calls, and what it cites."""
        message: dict[str, Any] = choice["message"]
        shown: Shown = "as it is"
        if text := message.get("content"):
            verdict = await self.output(text, context, final=True, protected=protected)
            if verdict.verdict == "block":
                return "refused"
            if verdict.verdict == "redact":
                shown = "changed"
                spans = spans_of(verdict)
                choice["logprobs"] = None  # they spell the text that was hidden
                message["content"] = redacted(text, spans) if verdict.text is None else verdict.text
                message["annotations"] = moved(message.get("annotations") or [], spans)
        for call in message.get("tool_calls") or []:
            function: dict[str, Any] = call.get("function") or {}
            if not (arguments := function.get("arguments")):
                continue
            track = Track(json=True)
            track.text = arguments
            try:
                end = await track.clear(
                    lambda text, final: self.output(text, context, final=final, protected=protected), [], final=True, overlap=0
                )
            except Refused:
                return "refused"
            if (instead := track.show(end)) is not None:
                shown = "changed"
                function["arguments"], choice["logprobs"] = instead, None
        if annotations := message.get("annotations"):
            message["annotations"] = await self.quotes(annotations, context)
            shown = "changed" if message["annotations"] is not annotations else shown
        return shown

    async def quotes(self, annotations: list[dict[str, Any]], context: RequestContext) -> list[dict[str, Any]]:
        """The same annotations; passages that they quote are redacted as an answer is, and left out where the policy blocks them."""
        texts = [str(note["quote"]) for note in annotations if note.get("quote")]
        if not self.present or not texts:
            return annotations
        verdict = await self.output(_BETWEEN.join(texts)[:MAX_CHECKED], context, final=True)
        if verdict.verdict == "allow":
            return annotations
        clean = verdict.text.split(_BETWEEN) if verdict.verdict == "redact" and verdict.text is not None else []
        left = iter(clean if len(clean) == len(texts) else [""] * len(texts))
        return [{**note, "quote": next(left)} if note.get("quote") else note for note in annotations]

    async def _verdict(self, request: Check, context: RequestContext) -> CheckResponse:
        try:
            return await self._leaves.check(request, context)
        except AWAY as error:
            self._metrics.counter("slipway_degraded", part="safety").inc()
            if self._fail_open:
                return ALLOWED
            raise errors.Overloaded(
                "The safety filter is away, and nothing is served unchecked; try again.", code="safety_unavailable", retry_after_seconds=5.0
            ) from error
