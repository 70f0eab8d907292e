"""Answers whose caller may leave: work stops when the connection does, before the first byte as well as after it.

It knows ASGI and nothing of models. Work begins inside `__call__`, so a response that is never sent has never started anything.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import TypeVar

from fastapi import Response
from slipway_shared import errors, service
from slipway_shared.dialect import sse
from slipway_shared.middleware import Receive, Scope, Send

T = TypeVar("T")
Frames = AsyncGenerator[bytes]


class CallerLeft(Exception):
    """The client closed its connection; there is nobody to answer."""


async def unless_left(receive: Receive, work: Awaitable[T]) -> T:
    """The result of `work`, which is cancelled when the client leaves (CallerLeft)."""
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_left(receive))
    try:
        await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise CallerLeft
    finally:
        for pending in (task, gone):
            if not pending.done():
                pending.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await pending


class JsonAnswer(Response):
    """A JSON body that is made while somebody waits for it."""

    def __init__(self, make: Callable[[], Awaitable[bytes]]) -> None:
        super().__init__(media_type="application/json")
        self._make = make

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            body = await unless_left(receive, self._make())
        except errors.SlipwayError as error:
            await service.answer(error)(scope, receive, send)
        except CallerLeft:
            return
        else:
            await Response(body, media_type="application/json")(scope, receive, send)


class EventStream(Response):
    """Server-sent events. An error before the first frame is a plain error response; after it, an error event and no `[DONE]`."""

    def __init__(self, frames: Callable[[], Frames], *, keepalive_seconds: float) -> None:
        super().__init__()
        self._frames = frames
        self._keepalive_seconds = keepalive_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        frames = self._frames()
        channel = _Channel(send)
        try:
            await unless_left(receive, self._relay(frames, channel))
        except errors.SlipwayError as error:
            if channel.opened:
                await channel.close(sse.error_frame(error.body()))
            else:
                await service.answer(error)(scope, receive, send)
        except (CallerLeft, OSError):
            return
        finally:
            await frames.aclose()

    async def _relay(self, frames: Frames, channel: "_Channel") -> None:
        # One timer a stream instead of a task a frame: a frame costs a write and nothing else.
        keeper = asyncio.ensure_future(self._keep_alive(channel))
        try:
            async for frame in frames:
                await channel.write(frame)
        finally:
            keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError, OSError):
                await keeper
        await channel.close(sse.DONE)

    async def _keep_alive(self, channel: "_Channel") -> None:
        """A comment whenever nothing was written for `keepalive_seconds`."""
        loop = asyncio.get_running_loop()
        while True:
            silent = loop.time() - channel.wrote
            if silent >= self._keepalive_seconds:
                silent = 0.0
                if not channel.writing:
                    await channel.write(sse.KEEPALIVE)
            await asyncio.sleep(self._keepalive_seconds - silent)


class _Channel:
    """The response's wire: headers go out with the first bytes. `wrote`: when it last did, on the loop's clock; `writing`: whether it does now."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._loop = asyncio.get_running_loop()
        self.opened = False
        self.writing = False
        self.wrote = self._loop.time()

    async def write(self, body: bytes) -> None:
        self.writing = True
        try:
            if not self.opened:
                self.opened = True
                headers = [(name.encode(), value.encode()) for name, value in sse.HEADERS.items()]
                await self._send({"type": "http.response.start", "status": 200, "headers": headers})
            await self._send({"type": "http.response.body", "body": body, "more_body": True})
        finally:
            self.writing = False
            self.wrote = self._loop.time()

    async def close(self, last: bytes) -> None:
        await self.write(last)
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
