"""The output guard: no text of a stream is shown before the safety filter has seen it together with what surrounds it.

Window k is checked while window k+1 is generated. The first window is one frame, and windows double up to `window` frames, so that the first token waits
for one check and not for a batch. Held back are at most two windows and what may be the beginning of a match: from where the filter says
(`hold_from`), else the last `overlap` characters. It refuses to know policies: a verdict is allow, redact or block.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from slipway_shared import errors
from slipway_shared.contracts import CheckResponse

from slipway_gateway.frames import Frame, Writer, said

Check = Callable[[str, bool], Awaitable[CheckResponse]]
"""Text and whether it is the last there will be."""
CONTEXT_CHARS = 256
"""How much of what was already shown is checked again with what follows it."""
MAX_HELD_CHARS = 8192
REFUSAL = "The answer was withheld by the safety policy."


class Refused(Exception):
    """The text must not be shown. What was shown before stays; the stream ends with a typed refusal."""


@dataclass(frozen=True, slots=True)
class _Hidden:
    """A span of a choice's text, in characters from its beginning, and what is shown in its place."""

    start: int
    end: int
    placeholder: str


class _Track:
    """One choice's text: `shown` characters are out, the rest waits."""

    def __init__(self) -> None:
        self.text = ""
        self.shown = 0


class Guard:
    """Holds frames until their text was checked. One guard per stream."""

    def __init__(self, check: Check, writer: Writer, *, window: int, overlap: int, observe: Callable[[float], None]) -> None:
        self._check = check
        self._writer = writer
        self._window = window
        self._overlap = overlap
        self._observe = observe
        self._size = 1
        self._fresh = 0
        self._tracks: dict[int, _Track] = {}
        self._held: deque[tuple[Frame, int, int]] = deque()  # frame, choice, the choice's length up to and with it
        self._since: float | None = None
        self._checking: asyncio.Task[list[Frame]] | None = None
        self._coming: asyncio.Task[Frame | None] | None = None

    async def run(self, frames: AsyncIterator[Frame]) -> AsyncGenerator[Frame]:
        """The frames whose text may be shown; ends with a refusal when some may not."""
        try:
            more = True
            while more:
                more = await self._next(frames)
                for shown in await self._checked(wait=not more):
                    yield shown
            for shown in await self._release(final=True):
                yield shown
        except Refused:
            for shown in self._refusal():
                yield shown
        finally:
            tasks: list[asyncio.Task[Any]] = [task for task in (self._checking, self._coming) if task is not None]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _next(self, frames: AsyncIterator[Frame]) -> bool:
        """Takes one more frame, or returns as soon as the running check has an answer. False at the end of `frames`."""
        if self._checking is None and self._coming is None:
            frame = await anext(frames, None)
        else:
            if self._coming is None:
                self._coming = asyncio.create_task(_one(frames))
            waiting: set[asyncio.Task[Any]] = {self._coming}
            if self._checking is not None:
                # While two windows are held, nothing more is taken until the older is decided.
                waiting = {self._checking} if self._fresh >= self._window else {self._coming, self._checking}
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if not self._coming.done():
                return True
            frame, self._coming = self._coming.result(), None
        if frame is None:
            return False
        self._fresh += self._hold(frame)
        return True

    async def _checked(self, *, wait: bool) -> list[Frame]:
        """What the running check releases, once it is done; then starts the next one when there is enough to check."""
        out: list[Frame] = []
        if self._checking is not None and (wait or self._checking.done()):
            checking, self._checking = self._checking, None
            out = await checking
        if self._checking is None and not wait and self._fresh >= self._size:
            self._fresh, self._size = 0, min(self._size * 2, self._window)
            self._checking = asyncio.create_task(self._release(final=False))
        return out

    def _hold(self, frame: Frame) -> int:
        """Keeps `frame`; 1 when it brought text."""
        brought = 0
        index = 0
        for choice in frame.choices:
            index = choice.get("index", 0)
            if text := said(choice):
                self._tracks.setdefault(index, _Track()).text += text
                brought = 1
        track = self._tracks.get(index)
        self._held.append((frame, index, len(track.text) if track else 0))
        if self._since is None:
            self._since = time.monotonic()
        return brought

    async def _release(self, *, final: bool) -> list[Frame]:
        """Checks every choice's text as far as it is known now and takes out what may be shown."""
        limits: dict[int, int] = {}
        hidden: dict[int, list[_Hidden]] = {}
        for index, track in list(self._tracks.items()):
            limits[index], hidden[index] = await self._clear(index, track, final)
        out = self._take(limits, hidden, final)
        for index, limit in limits.items():
            self._tracks[index].shown = limit
        if out and self._since is not None:
            self._observe(time.monotonic() - self._since)
            self._since = time.monotonic() if self._held else None
        return out

    async def _clear(self, index: int, track: _Track, final: bool) -> tuple[int, list[_Hidden]]:
        """Up to which character choice `index` may be shown now, and what is hidden on the way."""
        end = len(track.text)
        if end == track.shown:
            return end, []
        start = max(0, track.shown - CONTEXT_CHARS)
        verdict = await self._check(track.text[start:end], final)
        if verdict.verdict == "block":
            raise Refused
        spans = [span for span in _hidden(verdict, start) if span.end > track.shown]
        if any(span.start < track.shown for span in spans):
            raise Refused  # its beginning is out already and cannot be unsaid
        if final or end - track.shown > MAX_HELD_CHARS:
            return end, spans
        sure = end - self._overlap if verdict.hold_from is None else start + verdict.hold_from
        limit = self._boundary(index, max(track.shown, sure))
        while cut := next((span for span in spans if span.start < limit < span.end), None):
            limit = self._boundary(index, cut.start)
        return limit, [span for span in spans if span.end <= limit]

    def _take(self, limits: dict[int, int], hidden: dict[int, list[_Hidden]], final: bool) -> list[Frame]:
        """The held frames up to `limits`, in order; frames that touch a hidden span are replaced by one that does not show it."""
        out: list[Frame] = []
        kept: deque[tuple[Frame, int, int]] = deque()
        replaced: set[int] = set()
        while self._held:
            frame, index, end = self._held.popleft()
            if end > limits.get(index, 0) or (kept and not final):
                kept.append((frame, index, end))
            elif not (text := frame.text(index)) or not hidden.get(index):
                out.append(frame)
            elif index not in replaced and text:
                replaced.add(index)
                out.append(self._writer.delta({"content": self._redacted(index, limits[index], hidden[index])}, index=index))
        self._held = kept
        return out

    def _redacted(self, index: int, limit: int, spans: list[_Hidden]) -> str:
        track = self._tracks[index]
        pieces: list[str] = []
        at = track.shown
        for span in sorted(spans, key=lambda span: span.start):
            pieces += [track.text[at : span.start], span.placeholder]
            at = max(at, span.end)
        return "".join([*pieces, track.text[at:limit]])

    def _boundary(self, index: int, limit: int) -> int:
        """The end of the last held frame that lies wholly before `limit`."""
        track = self._tracks[index]
        return max((end for _, i, end in self._held if i == index and end <= limit), default=track.shown)

    def _refusal(self) -> list[Frame]:
        self._held.clear()
        return [
            self._writer.delta({"refusal": REFUSAL, "annotations": [{"type": "safety", "reason": errors.Blocked.code}]}),
            self._writer.delta({}, "content_filter"),
        ]


def _hidden(verdict: CheckResponse, start: int) -> list[_Hidden]:
    if verdict.verdict != "redact":
        return []
    enforced = [f for f in verdict.findings if f.action == "redact"]
    return [_Hidden(f.start + start, f.end + start, f.placeholder or "[REDACTED]") for f in enforced]


async def _one(frames: AsyncIterator[Frame]) -> Frame | None:
    return await anext(frames, None)
