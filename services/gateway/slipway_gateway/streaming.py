"""How an answer leaves: as a stream of frames, or as one body, and what happens when the caller hangs up meanwhile.

It knows ASGI, keep-alive comments and error events. It refuses to know what the bytes mean.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from typing import Any, TypeVar

from slipway_shared import errors, logs
from slipway_shared.dialect import sse
from slipway_shared.middleware import Receive, Scope, Send
from starlette.responses import Response

T = TypeVar("T")


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
        pump = asyncio.create_task(self._pump(send))
        gone = asyncio.create_task(disconnected(receive))
        try:
            await asyncio.wait({pump, gone}, return_when=asyncio.FIRST_COMPLETED)
            if pump.done():
                pump.result()
        finally:
            pump.cancel()
            gone.cancel()
            await asyncio.gather(pump, gone, return_exceptions=True)
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
        first = asyncio.ensure_future(anext(self._frames, None))
        try:
            while not (await asyncio.wait({first}, timeout=self._keepalive_seconds))[0]:
                await self._body(send, sse.KEEPALIVE)
            return first.result()
        finally:
            first.cancel()
            await asyncio.gather(first, return_exceptions=True)

    async def _body(self, send: Send, body: bytes) -> None:
        if not self._begun:
            self._begun = True
            headers = {**sse.HEADERS, **self._late_headers()}
            raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
            await send({"type": "http.response.start", "status": 200, "headers": raw})
        await send({"type": "http.response.body", "body": body, "more_body": True})


async def unless_gone(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which is cancelled when the caller hangs up first (then Gone is raised). The request's body must have been read."""
    task = asyncio.create_task(work)
    gone = asyncio.create_task(disconnected(receive))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise Gone
    finally:
        task.cancel()
        gone.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def disconnected(receive: Receive) -> None:
    """Returns when the caller has hung up."""
    while (await receive())["type"] != "http.disconnect":
        pass
