"""The texts of a stream, each as one: what a choice says, and the arguments of each tool call. And frames taken apart into them and put together again.

It knows where a text may be cut. It refuses to know when it is checked.
"""

from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from slipway_shared.contracts import CheckResponse

from slipway_gateway.frames import Frame, Writer, said
from slipway_gateway.redaction import Hidden, Unwritable, as_json, moved, redacted, spans_of, spoken

Check = Callable[[str, bool], Awaitable[CheckResponse]]
"""Text and whether it is the last there will be."""
Where = tuple[int, int | None]
"""A choice, and the number of a tool call in it; None: what the choice says."""
CONTEXT_CHARS = 256
"""How much of what was already shown is checked again with what follows it."""
MAX_HELD_CHARS = 8192


class Refused(Exception):
    """The text must not be shown. What was shown before stays; the stream ends with a typed refusal."""


class Track:
    """One text: `shown` characters are out, the rest waits. `spans` are hidden. `json`: it is a tool call's arguments."""

    def __init__(self, *, json: bool = False) -> None:
        self.text = ""
        self.shown = 0
        self.spans: list[Hidden] = []
        self._found: list[Hidden] = []  # what the newest check hides of the text that waits
        self._json = json

    async def clear(self, check: Check, ends: list[int], *, final: bool, overlap: int) -> int:
        """Up to which character it may be shown now; `ends` are the places where its frames end. Raises Refused."""
        end = len(self.text)
        self._found = []
        if end == self.shown:
            return end
        start = max(0, self.shown - CONTEXT_CHARS)
        verdict, offsets = await self._asked(check, start, end, final)
        if verdict.verdict == "block":
            raise Refused
        spans = [span for span in self._spans(verdict, offsets, start) if span.end > self.shown]
        if any(span.start < self.shown for span in spans):
            raise Refused  # its beginning is out already and cannot be unsaid
        limit = end
        if not final and end - self.shown <= MAX_HELD_CHARS:
            sure = end - overlap if verdict.hold_from is None else start + offsets[min(verdict.hold_from, len(offsets) - 1)]
            limit = self._boundary(ends, max(self.shown, sure))
            while cut := next((span for span in spans if span.start < limit < span.end), None):
                limit = self._boundary(ends, cut.start)
        self._found = spans
        return limit

    def cuts(self, limit: int, end: int) -> bool:
        """Whether a frame that ends at `end` brings a part of a span that `limit` cuts."""
        return any(span.start < min(limit, end) and limit < span.end for span in self._found)

    def show(self, limit: int) -> str | None:
        """The text is out up to `limit`: what is shown of it where something is hidden, else None."""
        shown, self.shown = self.shown, limit
        hidden = [span for span in self._found if shown <= span.start and span.end <= limit]
        self._found = [span for span in self._found if span.end > limit]
        self.spans += hidden
        return redacted(self.text, hidden, shown, limit) if hidden else None

    async def _asked(self, check: Check, start: int, end: int, final: bool) -> tuple[CheckResponse, list[int]]:
        piece = self.text[start:end]
        if not self._json:
            return await check(piece, final), list(range(len(piece) + 1))
        meant, offsets = spoken(piece)
        return await check(meant, final), offsets

    def _spans(self, verdict: CheckResponse, offsets: list[int], start: int) -> list[Hidden]:
        last = len(offsets) - 1
        found = [Hidden(start + offsets[min(s.start, last)], start + offsets[min(s.end, last)], s.placeholder) for s in spans_of(verdict)]
        try:
            return as_json(self.text, found) if self._json else found
        except Unwritable:
            raise Refused from None

    def _boundary(self, ends: list[int], limit: int) -> int:
        """The end of the last held frame that lies wholly before `limit`."""
        return max((end for end in ends if end <= limit), default=self.shown)


def pieces(frame: Frame) -> Iterator[tuple[Where, str]]:
    """The texts that `frame` brings."""
    for choice in frame.choices:
        index = choice.get("index", 0)
        if text := said(choice):
            yield (index, None), text
        for call in (choice.get("delta") or {}).get("tool_calls") or []:
            if text := (call.get("function") or {}).get("arguments"):
                yield (index, call.get("index", 0)), text


def without(frame: Frame, replaced: dict[Where, str], spans: dict[int, list[Hidden]], writer: Writer) -> list[Frame]:
    """`frame` with the texts that are `replaced`, each of which is said once and then is empty, and annotations moved behind `spans` of their choice.
    Nothing where nothing is left; the frame itself where nothing is changed."""
    out: list[Frame] = []
    touched = any(where in replaced for where, _ in pieces(frame))
    notes = any((choice.get("delta") or {}).get("annotations") and choice.get("index", 0) in spans for choice in frame.choices)
    if not touched and not notes:
        return [frame]
    for choice in frame.choices:
        index = choice.get("index", 0)
        delta = _left(choice, index, replaced)
        if delta.get("annotations"):
            delta["annotations"] = moved(delta["annotations"], spans.get(index, []))
        if delta or choice.get("finish_reason"):
            out.append(writer.delta(delta, choice.get("finish_reason"), index=index))
    return out


def _left(choice: dict[str, Any], index: int, replaced: dict[Where, str]) -> dict[str, Any]:
    delta: dict[str, Any] = dict(choice.get("delta") or {})
    text = said(choice)
    delta.pop("content", None)
    if text and (index, None) in replaced:
        text, replaced[index, None] = replaced[index, None], ""
    if text:
        delta["content"] = text
    calls = [
        kept for call in delta.pop("tool_calls", None) or [] if (kept := _call(call, (index, call.get("index", 0)), replaced)) is not None
    ]
    return {**delta, "tool_calls": calls} if calls else delta


def _call(call: dict[str, Any], where: Where, replaced: dict[Where, str]) -> dict[str, Any] | None:
    function: dict[str, Any] = dict(call.get("function") or {})
    if not function.get("arguments") or where not in replaced:
        return call
    function["arguments"], replaced[where] = replaced[where], ""
    begins = call.get("id") is not None or function.get("name") is not None
    return {**call, "function": function} if function["arguments"] or begins else None
