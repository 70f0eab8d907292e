"""How an answer leaves: as a stream of frames, or as one body, and what happens when the caller hangs up meanwhile.

It knows ASGI, keep-alive comments and error events. It refuses to know what the bytes mean.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from types import TracebackType
from typing import Any, TypeVar

from slipway_shared import errors, logs
from slipway_shared.dialect import sse
from slipway_shared.middleware import Receive, Scope, Send
from starlette.requests import Request
from starlette.responses import Response

T = TypeVar("T")


WATCH_SECONDS = 0.03
"""How long a request runs before anybody listens for its caller's leaving."""


class Gone(Exception):
    """The caller hung up before the answer was ready."""


class EventStream(Response):
    """Sends `frames` as they come. Until the first one, an error becomes a plain HTTP error; after it, an error event and the end, without `[DONE]`.

    `headers` is asked when the head goes out; `ended` is called once at the end, whatever it was, also when nothing was ever asked of `frames`.
    A caller that hangs up cancels `frames`, at once, whatever they wait for.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        frames: AsyncGenerator[bytes],
        *,
        headers: Callable[[], Mapping[str, str]],
        keepalive_seconds: float,
        ended: Callable[[], None],
    ) -> None:
        super().__init__()
        self._ended = ended
        self._frames = frames
        self._late_headers = headers
        self._keepalive_seconds = keepalive_seconds
        self._begun = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with Watch(receive):
                await self._pump(send)
        except Gone:
            pass  # nobody is left to be told
        finally:
            await self._frames.aclose()
            self._ended()

    async def _pump(self, send: Send) -> None:
        try:
            first = await self._first(send)
            if first is not None:
                await self._body(send, first)
                async for frame in self._frames:
                    await self._body(send, frame)
        except errors.SlipwayError as error:
            if not self._begun:
                raise
            await self._body(send, sse.error_frame(error.body()))
        except Exception as error:  # the process edge: the caller must learn that the stream is not whole
            if not self._begun:
                raise
            logs.get("gateway").error("stream_broke", error=type(error).__name__, exc_info=error)
            await self._body(send, sse.error_frame(errors.Internal("Something went wrong on our side.").body()))
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _first(self, send: Send) -> bytes | None:
        """The first frame; comments keep the connection open while it is awaited."""
        loop = asyncio.get_running_loop()
        comments: list[asyncio.Task[None]] = []
        timer = loop.call_later(self._keepalive_seconds, lambda: comments.append(loop.create_task(self._comment(send))))
        try:
            return await anext(self._frames, None)
        finally:
            timer.cancel()
            for task in comments:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    async def _comment(self, send: Send) -> None:
        while True:
            await self._body(send, sse.KEEPALIVE)
            await asyncio.sleep(self._keepalive_seconds)

    async def _body(self, send: Send, body: bytes) -> None:
        if not self._begun:
            self._begun = True
            headers = {**sse.HEADERS, **self._late_headers()}
            raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
            await send({"type": "http.response.start", "status": 200, "headers": raw})
        await send({"type": "http.response.body", "body": body, "more_body": True})


class Document(Response):
    """A whole JSON answer. Starlette's own response costs a tenth of a small request to put four headers in order."""

    def __init__(self, body: bytes, headers: Mapping[str, str]) -> None:
        self.status_code, self.body, self.background = 200, body, None
        self.raw_headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        self.raw_headers += [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]


async def body_of(request: Request) -> bytes:
    """The request's whole body; raises Gone."""
    pieces: list[bytes] = []
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise Gone
        piece: bytes = message.get("body", b"")
        if not message.get("more_body", False):
            return piece if not pieces else b"".join([*pieces, piece])
        pieces.append(piece)


class Watch:
    """A block that is cancelled when the caller hangs up, and then raises Gone. The request's body must have been read.

    It listens after WATCH_SECONDS only: most answers are there sooner, and a task that listens costs more than everything else here.
    """

    __slots__ = ("_before", "_gone", "_listener", "_loop", "_over", "_receive", "_task", "_timer")

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._listener: asyncio.Task[None] | None = None
        self._gone = self._over = False

    async def __aenter__(self) -> None:
        self.begin()

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.end(error)

    def begin(self) -> None:
        """From now on."""
        self._loop = asyncio.get_running_loop()  # a call of the system each time
        task = asyncio.current_task(self._loop)
        assert task is not None
        self._task, self._before = task, task.cancelling()
        self._timer = self._loop.call_later(WATCH_SECONDS, self._begin)

    def unneeded(self) -> bool:
        """The block ended well before anybody listened: nothing is left to be ended."""
        self._over = True
        self._timer.cancel()
        return self._listener is None

    async def end(self, error: BaseException | None) -> None:
        """The block ended, by `error` or well; raises Gone where the caller's leaving was what ended it."""
        self._over = True
        self._timer.cancel()
        if self._listener is not None:
            self._listener.cancel()
            await asyncio.gather(self._listener, return_exceptions=True)
        # As asyncio.timeout does it: a cancellation that was ours ends here, one that came from elsewhere goes on.
        if self._gone and self._task.uncancel() <= self._before and isinstance(error, asyncio.CancelledError):
            raise Gone from None

    def _begin(self) -> None:
        self._listener = self._loop.create_task(self._listen())

    async def _listen(self) -> None:
        await disconnected(self._receive)
        if not self._over:
            self._gone = True
            self._task.cancel()


async def unless_gone(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which is cancelled when the caller hangs up first (then Gone is raised). The request's body must have been read."""
    watch = Watch(receive)
    watch.begin()
    try:
        result = await work
    except BaseException as error:
        await watch.end(error)
        raise
    if not watch.unneeded():
        await watch.end(None)
    return result


async def disconnected(receive: Receive) -> None:
    """Returns when the caller has hung up."""
    while (await receive())["type"] != "http.disconnect":
        pass
