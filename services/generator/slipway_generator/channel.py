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
        upcoming = asyncio.ensure_future(anext(frames, None))
        try:
            while True:
                done, _ = await asyncio.wait((upcoming,), timeout=self._keepalive_seconds)
                if not done:
                    await channel.write(sse.KEEPALIVE)
                    continue
                frame = upcoming.result()
                if frame is None:
                    break
                upcoming = asyncio.ensure_future(anext(frames, None))
                await channel.write(frame)
        finally:
            if not upcoming.done():
                upcoming.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await upcoming
        await channel.close(sse.DONE)


class _Channel:
    """The response's wire: headers go out with the first bytes."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.opened = False

    async def write(self, body: bytes) -> None:
        if not self.opened:
            self.opened = True
            headers = [(name.encode(), value.encode()) for name, value in sse.HEADERS.items()]
            await self._send({"type": "http.response.start", "status": 200, "headers": headers})
        await self._send({"type": "http.response.body", "body": body, "more_body": True})

    async def close(self, last: bytes) -> None:
        await self.write(last)
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
