"""The output guard: nothing of a stream is shown before the safety filter has seen it together with what surrounds it: the text of every choice, and the
arguments of every tool call.

Window k is checked while window k+1 is generated. The first window is one frame, and windows double up to `window` frames, so that the first token waits
for one check and not for a batch; a frame that has waited for `seconds` closes its window as well. Held back are at most two windows and what may be the
beginning of a match: from where the filter says (`hold_from`), else the last `overlap` characters. It refuses to know policies: a verdict is allow, redact
or block.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable

from slipway_shared import errors

from slipway_gateway.frames import Frame, Writer
from slipway_gateway.inbox import Inbox
from slipway_gateway.tracks import Check, Refused, Track, Where, pieces, without

__all__ = ["REFUSAL", "Guard", "Refused"]
REFUSAL = "The answer was withheld by the safety policy."


class Guard:
    """Holds frames until their text was checked. One guard per stream."""

    def __init__(
        self, check: Check, writer: Writer, *, window: int, overlap: int, observe: Callable[[float], None], seconds: float = 0.1
    ) -> None:
        self._check = check
        self._writer = writer
        self._window = window
        self._overlap = overlap
        self._observe = observe
        self._seconds = seconds
        self._unseen = 0.0
        self._size = 1
        self._fresh = 0
        self._tracks: dict[Where, Track] = {}
        self._held: deque[tuple[Frame, dict[Where, int]]] = deque()  # frame, and how long each text that it brings was with it
        self._since: float | None = None
        self._checking: asyncio.Task[list[Frame]] | None = None

    async def run(self, frames: AsyncGenerator[Frame]) -> AsyncGenerator[Frame]:
        """The frames whose text may be shown; ends with a refusal when some may not."""
        async with contextlib.aclosing(self.groups(frames)) as groups:
            async for group in groups:
                for frame in group:
                    yield frame

    async def groups(self, frames: AsyncGenerator[Frame]) -> AsyncGenerator[list[Frame]]:
        """The same frames; those that became free together are in one list."""
        try:
            async with Inbox(frames, self._window) as inbox:
                more = True
                while more:
                    more = await self._next(inbox)
                    if shown := await self._checked(inbox, wait=not more):
                        yield shown
                if shown := await self._release(final=True):
                    yield shown
        except Refused:
            yield self._refusal()
        finally:
            if self._checking is not None:
                self._checking.cancel()
                await asyncio.gather(self._checking, return_exceptions=True)

    async def _next(self, inbox: Inbox[Frame]) -> bool:
        """Takes one more frame, or returns as soon as the running check has an answer, or a frame has waited long enough. False at the end."""
        while not inbox.over:
            # While two windows are held, nothing more is taken until the older is decided.
            full = self._checking is not None and self._fresh >= self._window
            if not inbox.empty and not full:
                if self._fresh == 0:
                    self._unseen = time.monotonic()
                self._fresh += self._hold(inbox.take())
                return True
            if self._checking is not None and self._checking.done():
                return True
            patience = None
            if self._fresh and self._checking is None and (patience := self._unseen + self._seconds - time.monotonic()) <= 0:
                return True
            await inbox.news(patience)
        return False

    async def _checked(self, inbox: Inbox[Frame], *, wait: bool) -> list[Frame]:
        """What the running check releases, once it is done; then starts the next one when there is enough to check."""
        out: list[Frame] = []
        if self._checking is not None and (wait or self._checking.done()):
            checking, self._checking = self._checking, None
            out = await checking
        if self._checking is not None:
            return out
        if self._held and not any(ends for _, ends in self._held):
            # What brings no text and waits behind none (the role, a finish) has nothing to be checked.
            self._since = None
            return out + self._take(len(self._held))
        if not wait and self._due():
            self._fresh, self._size = 0, min(self._size * 2, self._window)
            self._checking = asyncio.create_task(self._release(final=False))
            self._checking.add_done_callback(inbox.wake)
        return out

    def _due(self) -> bool:
        """Whether a window is full, or its first frame has waited long enough: a slow model's words are not held for a whole window."""
        return self._fresh >= self._size or (self._fresh > 0 and time.monotonic() - self._unseen >= self._seconds)

    def _hold(self, frame: Frame) -> int:
        """Keeps `frame`; 1 when it brought text."""
        ends: dict[Where, int] = {}
        for where, text in pieces(frame):
            track = self._tracks.setdefault(where, Track(json=where[1] is not None))
            track.text += text
            ends[where] = len(track.text)
        self._held.append((frame, ends))
        if self._since is None:
            self._since = time.monotonic()
        return 1 if ends else 0

    async def _release(self, *, final: bool) -> list[Frame]:
        """Checks every text as far as it is known now and takes out what may be shown."""
        limits: dict[Where, int] = {}
        for where, track in list(self._tracks.items()):
            ends = [ends[where] for _, ends in self._held if where in ends]
            limits[where] = await track.clear(self._check, ends, final=final, overlap=self._overlap)
        out = self._take(len(self._held) if final else self._ready(limits))
        if out and self._since is not None:
            self._observe(time.monotonic() - self._since)
            self._since = time.monotonic() if self._held else None
        return out

    def _ready(self, limits: dict[Where, int]) -> int:
        """How many held frames may go. They go in order, so one text may hold up another, but never in the middle of a span that is hidden."""
        held = list(self._held)
        late = (at for at, (_, ends) in enumerate(held) if any(end > limits.get(where, 0) for where, end in ends.items()))
        count = next(late, len(held))
        while count:
            out = _out(held[:count])
            cuts = (n for n, (_, ends) in enumerate(held[:count]) if any(self._tracks[w].cuts(out[w], end) for w, end in ends.items()))
            if (cut := next(cuts, None)) is None:
                break
            count = cut
        return count

    def _take(self, count: int) -> list[Frame]:
        """The first `count` held frames; what they bring of a hidden span is replaced, once, by what is shown instead."""
        taken = [self._held.popleft() for _ in range(count)]
        replaced = {where: instead for where, end in _out(taken).items() if (instead := self._tracks[where].show(end)) is not None}
        spans = {where[0]: track.spans for where, track in self._tracks.items() if where[1] is None and track.spans}
        if not replaced and not spans:
            return [frame for frame, _ in taken]
        return [shown for frame, _ in taken for shown in without(frame, replaced, spans, self._writer)]

    def _refusal(self) -> list[Frame]:
        self._held.clear()
        return [
            self._writer.delta({"refusal": REFUSAL, "annotations": [{"type": "safety", "reason": errors.Blocked.code}]}),
            self._writer.delta({}, "content_filter"),
        ]


def _out(taken: list[tuple[Frame, dict[Where, int]]]) -> dict[Where, int]:
    """How far each text is out when these frames are."""
    return {where: end for _, ends in taken for where, end in ends.items()}
