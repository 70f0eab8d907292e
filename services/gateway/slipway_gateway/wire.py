"""One HTTP/1.1 connection to a part: a request out, its answer in, over llhttp (httptools, which the server uses too).

A general client library cost a third of a chat request's CPU time (docs/decisions/0008). It knows framing, silence and deadlines, and when a connection
may serve again. It refuses to know redirects, cookies, proxies, compression and what is said.
"""

import asyncio
from collections.abc import AsyncIterable
from typing import Any, cast

import httptools

from slipway_gateway.answer import Answer, Broken, Dropped, Late, Silent
from slipway_gateway.coalesce import Coalescers
from slipway_gateway.head import Body
from slipway_gateway.intake import Intake

MAX_HEAD_BYTES = 64 << 10
HIGH_WATER = 1 << 20
"""Bytes of an answer that wait for our reader; above that, nothing is read from the socket until they were taken."""


class Connection(asyncio.Protocol):
    """A kept connection; one exchange at a time. `released` is called when it may serve again, or is gone: `alive` tells which."""

    def __init__(self, loop: asyncio.AbstractEventLoop, coalescers: Coalescers = (None, None)) -> None:
        self._loop = loop
        self._coalescers = coalescers
        self._transport: asyncio.Transport | None = None
        self._intake: Intake | None = None
        self._parser: Any = httptools.HttpResponseParser(self)
        self._answer: Answer | None = None
        self._headed = False
        self._head_bytes = self._header_bytes = 0
        self._heard = self._due = self._idle = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._writable: asyncio.Event | None = None
        self._upload: asyncio.Task[None] | None = None
        self.alive = False
        self.idle_since = 0.0

    # The exchange.

    async def exchange(self, head: bytes, body: Body, *, length: int | None, idle_seconds: float, due: float) -> Answer:
        """Sends the request and returns its answer when the head of it is there. `due` is on the loop's clock, `length` what the head tells of a body that is
        read as it is sent. Raises WireError, and what reading the body raises."""
        assert self._transport is not None
        answer = self._answer = Answer(self, self._loop)
        self._headed = False
        self._head_bytes = self._header_bytes = 0
        self._heard, self._idle, self._due = self._loop.time(), idle_seconds, due
        self._arm()
        if isinstance(body, bytes):
            self._transport.write(head + body)
        else:
            self._transport.write(head)
            if body is not None:
                self._upload = self._loop.create_task(self._send(body, length))
        try:
            while not answer.status:
                if answer.failed is not None:
                    raise answer.failed
                await answer.news()
        except BaseException:
            answer.close()
            raise
        return answer

    def cut(self) -> None:
        """Hangs up."""
        self.alive = False
        if self._intake is not None:
            self._intake.leave()
        if self._transport is not None:
            self._transport.abort()

    def resume(self, answer: Answer) -> None:
        """The reader of `answer` took what waited."""
        if self._intake is not None and self._intake.paused and self._answer is answer:
            self._heard = self._loop.time()
            self._intake.hurry()

    def relax(self, answer: Answer, *, slow: bool) -> None:
        """What comes of `answer` may come up to a tick late from now on; `slow`: a few ticks."""
        if self._intake is not None and self._answer is answer and not self._unsent:
            self._intake.relax(slow=slow)

    async def _send(self, body: AsyncIterable[bytes], length: int | None) -> None:
        """The body, no faster than it leaves; in chunks where nobody told its length. A source that fails ends the exchange with its error: half a body must
        not look whole."""
        assert self._transport is not None
        sent = 0
        try:
            async for piece in body:
                sent += len(piece)
                if piece:
                    self._transport.write(piece if length is not None else b"%x\r\n%b\r\n" % (len(piece), piece))
                if self._writable is not None:
                    await self._writable.wait()
                self._heard = self._loop.time()
            if length not in (None, sent):
                raise ValueError(f"the body has {sent} bytes and its head told of {length}")
            if length is None:
                self._transport.write(b"0\r\n\r\n")
        except Exception as error:  # noqa: BLE001 - whatever it is, it is raised where the answer is awaited
            self._fail(error)

    # Time.

    def _arm(self) -> None:
        """One timer serves many exchanges: it is set anew only when it would come too late."""
        at = min(self._heard + self._idle, self._due)
        if self._timer is None or self._timer_at > at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer, self._timer_at = self._loop.call_at(at, self._tick), at

    def _tick(self) -> None:
        self._timer = None
        if self._answer is None:
            return
        now = self._loop.time()
        if self._intake is not None and self._intake.paused:
            self._heard = now  # the silence is ours
        if now >= self._due:
            self._fail(Late("the exchange's time is over"))
        elif now >= self._heard + self._idle:
            self._fail(Silent("nothing came for too long"))
        else:
            self._arm()

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass of asyncio's
        self._intake = Intake(self._transport, self._coalescers, self.data_received, self._broke)
        self.alive = True

    def data_received(self, data: bytes) -> None:
        if self._answer is None:
            self.cut()  # nobody asked
            return
        self._heard = self._loop.time()
        if not self._headed:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._fail(Broken("what came is not HTTP"))
        if not self._headed and self._head_bytes > MAX_HEAD_BYTES:
            self._fail(Broken("the answer's head is too large"))

    def _broke(self) -> None:
        self._fail(Broken("the connection ended early"))

    def connection_lost(self, exc: Exception | None) -> None:
        self.alive = False
        if self._intake is not None:
            self._intake.leave()
        if self._answer is None:
            self.released()
        elif self._headed and exc is None and not self._answer.headers.keys() & {"content-length", "transfer-encoding"}:
            self._finish()  # a body without a length ends with its connection
        else:
            self._fail((Broken if self._headed or self._head_bytes else Dropped)("the connection ended early"))

    def pause_writing(self) -> None:
        self._writable = asyncio.Event()

    def resume_writing(self) -> None:
        if self._writable is not None:
            self._writable.set()
            self._writable = None

    # What the parser calls.

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header of the answer, or a trailer, which nobody reads."""
        if self._answer is not None and not self._headed:
            self._header_bytes += len(name) + len(value)
            if self._header_bytes > MAX_HEAD_BYTES:
                raise ValueError("too large")  # which the parser makes its own error
            self._answer.raw_headers.append((name, value))

    def on_headers_complete(self) -> None:
        """The head is there; one of the 1xx kind only says that another will follow."""
        status = self._parser.get_status_code()
        if self._answer is None:
            return
        if status < 200:
            self._answer.raw_headers.clear()
            return
        self._answer.status = status
        self._headed = True
        self._answer.wake()

    def on_body(self, piece: bytes) -> None:
        """A piece of the body."""
        if self._answer is not None and self._answer.came(piece) > HIGH_WATER and self._intake is not None and not self._intake.paused:
            self._intake.pause()

    def on_message_complete(self) -> None:
        """The answer is whole."""
        if self._headed:
            self._finish()

    # Ends.

    def _finish(self) -> None:
        answer, self._answer = self._answer, None
        if answer is None:
            return
        if self._intake is not None:
            self._intake.hurry()
        if self._unsent or not self._parser.should_keep_alive():
            self._end_upload()
            self.alive = False
            if self._transport is not None:
                self._transport.close()
        self.idle_since = self._loop.time()
        answer.ended()
        self.released()

    def _fail(self, error: Exception) -> None:
        answer, self._answer = self._answer, None
        self._end_upload()
        self.cut()
        if answer is not None:
            answer.ended(error)
            self.released()

    @property
    def _unsent(self) -> bool:
        return self._upload is not None and not self._upload.done()

    def _end_upload(self) -> None:
        if self._upload is not None and self._upload is not asyncio.current_task():
            self._upload.cancel()
        self._upload = None

    def released(self) -> None:
        """Set by whoever keeps connections."""
