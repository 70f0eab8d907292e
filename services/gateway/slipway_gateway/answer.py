"""What comes back from a part, as it comes, and how an exchange can fail.

It knows pieces of bytes and who waits for them. It refuses to know sockets and framing.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol


class WireError(ConnectionError):
    """An exchange that failed, on the wire."""


class Unreachable(WireError):
    """There is no connection to be had."""


class Dropped(WireError):
    """The connection ended before an answer began."""


class Broken(WireError):
    """The connection ended within the answer, or what came is not HTTP."""


class Silent(WireError):
    """Nothing came for too long."""


class Late(WireError):
    """The exchange's time is over."""


class TooMuch(WireError):
    """The body is larger than its reader takes."""


class Line(Protocol):
    """The connection that an answer comes over."""

    def resume(self, answer: "Answer") -> None:
        """What waited was taken."""
        ...

    def relax(self, answer: "Answer", *, slow: bool) -> None:
        """What comes of it may come up to a tick late from now on, together with what comes meanwhile; `slow`: a few ticks."""
        ...

    def cut(self) -> None:
        """Hang up."""
        ...


Sink = Callable[[bytes], bytes]
"""Takes a piece of a body as it comes. What it gives back it did not take, and then it takes no more: that is for whoever awaits the body."""


class Answer:
    """`status` and `headers`, and the body as it comes. Read it to its end, or close it."""

    __slots__ = ("_error", "_headers", "_line", "_loop", "_pieces", "_sink", "_size", "_waiter", "_whole", "raw_headers", "status")

    def __init__(self, line: Line, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop  # to ask which loop runs is a call of the system (Python 3.11 looks whether the process was forked)
        self.status = 0
        self.raw_headers: list[tuple[bytes, bytes]] = []
        self._headers: dict[str, str] | None = None
        self._line = line
        self._pieces: list[bytes] = []
        self._size = 0
        self._whole = False
        self._error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._sink: Sink | None = None

    @property
    def headers(self) -> dict[str, str]:
        """By lower-case name; of several with one name the last."""
        if self._headers is None:
            self._headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in self.raw_headers}
        return self._headers

    @property
    def content_length(self) -> int | None:
        """Bytes of the body, where the head tells."""
        given = self.headers.get("content-length", "")
        return int(given) if given.isascii() and given.isdigit() and len(given) < 19 else None

    async def some(self) -> bytes:
        """What has come of the body since the last call, as soon as there is anything; nothing at its end. Raises WireError."""
        while not self._pieces:
            if self._error is not None:
                raise self._error
            if self._whole:
                return b""
            await self.news()
        out = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        self._size = 0
        self._line.resume(self)
        return out

    async def read(self, most: int) -> bytes:
        """The whole body, of at most `most` bytes. Raises WireError."""
        if (body := self.at_once(most)) is not None:
            return body
        pieces: list[bytes] = []
        size = 0
        while piece := await self.some():
            size += len(piece)
            if size > most:
                raise TooMuch(f"more than {most} bytes")
            pieces.append(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def at_once(self, most: int) -> bytes | None:
        """The whole body where it came as most come: with its head, in one piece, of at most `most` bytes."""
        return self._pieces.pop() if self._whole and len(self._pieces) == 1 and self._size <= most else None

    def relax(self, *, slow: bool = False) -> None:
        """Its bytes may come up to a tick late from now on (where the connection has one), together with those of others; `slow`: a few ticks."""
        if not self._whole and self._error is None:
            self._line.relax(self, slow=slow)

    def pour(self, sink: Sink) -> None:
        """What comes goes to `sink`, as long as it takes it, without waking whoever awaits `some`; where something lies here already, that comes first, and
        `sink` gets nothing."""
        if not self._pieces:
            self._sink = sink

    def close(self) -> None:
        """No more of it is wanted: what is not whole is cut, which tells the other side to stop."""
        self._sink = None
        if not self._whole and self._error is None:
            self._line.cut()

    # The rest is the connection's.

    def news(self) -> "asyncio.Future[None]":
        """Done when something happened to the answer; what it was, the caller looks up."""
        self._waiter = self._loop.create_future()
        return self._waiter

    @property
    def failed(self) -> Exception | None:
        """What ended it early."""
        return self._error

    def came(self, piece: bytes) -> int:
        """A piece of the body; returns how many bytes wait now."""
        if self._sink is not None:
            piece = self._sink(piece)
            if not piece:
                return 0
            self._sink = None
        self._pieces.append(piece)
        self._size += len(piece)
        if self._waiter is not None:
            self.wake()
        return self._size

    def ended(self, error: Exception | None = None) -> None:
        """The answer is whole, or will never be."""
        if error is None:
            self._whole = True
        elif not self._whole:
            self._error = error
        if self._waiter is not None:
            self.wake()

    def wake(self) -> None:
        """Whoever waits looks again."""
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
