"""The output guard: no text of a stream is shown before the safety filter has seen it together with what surrounds it.

Window k is checked while window k+1 is generated. Held back are at most two windows and `overlap` characters, so that a pattern cut by a window's or a
frame's edge is seen whole. It refuses to know policies: a verdict is allow, redact or block.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable

from slipway_shared import errors
from slipway_shared.contracts import CheckResponse

from slipway_gateway.frames import Frame, Writer

Check = Callable[[str], Awaitable[CheckResponse]]
CONTEXT_CHARS = 256
"""How much of what was already shown is checked again with what follows it."""
MAX_HELD_CHARS = 8192
REFUSAL = "The answer was withheld by the safety policy."


class Refused(Exception):
    """The text must not be shown. What was shown before stays; the stream ends with a typed refusal."""


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
        self._tracks: dict[int, _Track] = {}
        self._held: deque[tuple[Frame, int, int]] = deque()  # frame, choice, the choice's length up to and with it
        self._since: float | None = None

    async def run(self, frames: AsyncIterator[Frame]) -> AsyncGenerator[Frame]:
        """The frames whose text may be shown; ends with a refusal when some may not."""
        running: asyncio.Task[list[Frame]] | None = None
        fresh = 0
        try:
            async for frame in frames:
                fresh += self._hold(frame)
                if running is not None and (running.done() or fresh >= self._window):
                    for shown in await running:
                        yield shown
                    running = None
                if running is None and fresh >= self._window:
                    running, fresh = asyncio.create_task(self._release(final=False)), 0
            for shown in await running if running is not None else []:
                yield shown
            running = None
            for shown in await self._release(final=True):
                yield shown
        except Refused:
            for shown in self._refusal():
                yield shown
        finally:
            if running is not None:
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)

    def _hold(self, frame: Frame) -> int:
        """Keeps `frame`; 1 when it brought text."""
        brought = 0
        index = 0
        for choice in frame.choices:
            index = choice.get("index", 0)
            if text := (choice.get("delta") or {}).get("content"):
                self._tracks.setdefault(index, _Track()).text += text
                brought = 1
        track = self._tracks.get(index)
        self._held.append((frame, index, len(track.text) if track else 0))
        if self._since is None:
            self._since = time.monotonic()
        return brought

    async def _release(self, *, final: bool) -> list[Frame]:
        """Checks every choice's text as far as it is known now and takes out what may be shown."""
        out: list[Frame] = []
        limits: dict[int, int] = {}
        for index, track in list(self._tracks.items()):
            limits[index] = await self._clear(index, track, final, out)
        while self._held:
            frame, index, end = self._held[0]
            if end > limits.get(index, 0) and not final:
                break
            self._held.popleft()
            out.append(frame)
        if out and self._since is not None:
            self._observe(time.monotonic() - self._since)
            self._since = time.monotonic() if self._held else None
        for index, limit in limits.items():
            self._tracks[index].shown = limit
        return out

    async def _clear(self, index: int, track: _Track, final: bool, out: list[Frame]) -> int:
        """Up to which character choice `index` may be shown. Redacted text replaces its frames in `out`."""
        end = len(track.text)
        if end == track.shown:
            return end
        start = max(0, track.shown - CONTEXT_CHARS)
        verdict = await self._check(track.text[start:end])
        if verdict.verdict == "block":
            raise Refused
        limit = end if final or end - track.shown > MAX_HELD_CHARS else self._boundary(index, max(track.shown, end - self._overlap))
        if verdict.verdict == "allow":
            return limit
        for finding in verdict.findings:
            if finding.start + start < limit < finding.end + start:
                limit = self._boundary(index, max(track.shown, finding.start + start))
        if limit > track.shown:
            await self._redact(index, track, limit, out)
        return limit

    async def _redact(self, index: int, track: _Track, limit: int, out: list[Frame]) -> None:
        verdict = await self._check(track.text[track.shown : limit])
        if verdict.verdict == "block":
            raise Refused
        if verdict.verdict == "redact" and verdict.text is not None:
            kept = [held for held in self._held if held[1] != index or held[2] > limit or not held[0].text(index)]
            # What opens a message (its role) goes before its text, what ends it stays behind.
            while kept and not kept[0][0].finished and kept[0][2] <= track.shown:
                out.append(kept.pop(0)[0])
            self._held = deque(kept)
            out.append(self._writer.delta({"content": verdict.text}, index=index))

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
