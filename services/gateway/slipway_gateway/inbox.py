"""Frames that are read on while something else is awaited: one task a stream reads them, instead of one a frame.

It knows who waits and how many frames may lie. It refuses to know what a frame is.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Generic, TypeVar

T = TypeVar("T")


class Inbox(Generic[T]):
    """Reads `frames` up to `most` ahead. `async with` starts and ends the reading, and closes `frames`."""

    def __init__(self, frames: AsyncGenerator[T], most: int) -> None:
        self._frames = frames
        self._most = most
        self._lying = deque[T]()
        self._over = False
        self._error: Exception | None = None
        self._taker: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None

    async def __aenter__(self) -> "Inbox[T]":
        self._reader = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)

    @property
    def empty(self) -> bool:
        """Whether nothing lies here now."""
        return not self._lying

    @property
    def over(self) -> bool:
        """Whether everything was taken; raises what ended the frames early."""
        if self._over and not self._lying and self._error is not None:
            raise self._error
        return self._over and not self._lying

    def take(self) -> T:
        """The oldest that lies here."""
        frame = self._lying.popleft()
        if self._room is not None and not self._room.done():
            self._room.set_result(None)
        return frame

    async def news(self, seconds: float | None) -> None:
        """Returns when a frame came, the frames ended, somebody called `wake`, or after `seconds`."""
        loop = asyncio.get_running_loop()
        self._taker = loop.create_future()
        timer = loop.call_later(seconds, self.wake) if seconds is not None else None
        try:
            await self._taker
        finally:
            self._taker = None
            if timer is not None:
                timer.cancel()

    def wake(self, *_: object) -> None:
        """Whoever waits for news looks again."""
        if self._taker is not None and not self._taker.done():
            self._taker.set_result(None)

    async def _read(self) -> None:
        try:
            async with aclosing(self._frames):
                async for frame in self._frames:
                    self._lying.append(frame)
                    self.wake()
                    if len(self._lying) >= self._most:
                        self._room = asyncio.get_running_loop().create_future()
                        await self._room
        except Exception as error:  # noqa: BLE001 - whatever it is, it is raised where the frames are taken
            self._error = error
        finally:
            self._over = True
            self.wake()
