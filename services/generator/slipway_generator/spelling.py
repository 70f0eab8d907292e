"""From token bytes to text that may be sent: whole characters only, and nothing that may still become a stop string.

It refuses to know tokens and engines: bytes in, text out.
"""

import codecs
from collections.abc import Sequence


class Spelling:
    """The text of one sequence as it grows. A stop string is found across any borders; neither it nor what follows is ever released."""

    def __init__(self, stops: Sequence[str] = ()) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._stops = tuple(stop for stop in stops if stop)
        self._held = ""
        self.stopped = False

    def feed(self, piece: bytes) -> str:
        """The text that `piece` makes safe to send; sets `stopped` when a stop string is complete."""
        if self.stopped:
            return ""
        return self._release(self._decoder.decode(piece))

    def finish(self) -> str:
        """What was held back, now that no more bytes will follow."""
        if self.stopped:
            return ""
        text = self._release(self._decoder.decode(b"", final=True))
        if not self.stopped:
            text, self._held = text + self._held, ""
        return text

    def _release(self, fresh: str) -> str:
        if not self._stops:
            return fresh
        text = self._held + fresh
        found = min((at for stop in self._stops if (at := text.find(stop)) >= 0), default=-1)
        if found >= 0:
            self.stopped = True
            self._held = ""
            return text[:found]
        keep = max(overlap(text, stop) for stop in self._stops)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]


def overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` that is a beginning of `stop`, but not all of it."""
    first = stop[0]
    start = max(0, len(text) - len(stop) + 1)
    while (start := text.find(first, start)) >= 0:
        if stop.startswith(text[start:]):
            return len(text) - start
        start += 1
    return 0
