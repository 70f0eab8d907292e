"""Sockets of running streams that are read together, once a tick, instead of one by one as their bytes come.

A frame that comes alone wakes the process up, and waking up costs several times what relaying the frame does. So it is done as network cards and their
drivers do it (interrupt coalescing; Linux' NAPI): where much comes, the sockets are polled on a timer, and one waking serves the frames of many streams;
where little comes, the arrival of bytes wakes as ever, and nothing waits. It knows sockets and rates. It refuses to know what is read.
"""

import asyncio
import select
from collections.abc import Callable

BUSY = 2.0
"""Readings a tick from which on waiting for the tick pays: it halves the wakings."""
QUIET = 1.0
"""Readings a tick below which the tick would wake for nothing."""
FEWEST = 4
"""Of fewer streams each frame is relayed at once, however fast they come."""
WINDOW_SECONDS = 0.05
"""How long readings are counted before they decide."""
SLOW = 4
"""Ticks after which those are read that are looked at in groups anyway."""
MOST = 256
"""Sockets that one call to the system tells of; what is left is told by the next."""


class Coalescer:
    """The sockets that are read together. `tick_seconds` is what a byte may wait at most."""

    def __init__(self, loop: asyncio.AbstractEventLoop, tick_seconds: float) -> None:
        self._loop = loop
        self._tick_seconds = tick_seconds
        self._ready = select.epoll()  # it can be waited for itself, and polled for nothing
        self._takers: dict[int, Callable[[], None]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._watching = False
        self._since, self._readings = 0.0, 0

    @property
    def ticking(self) -> bool:
        """Whether sockets are polled on the timer now; else the arrival of bytes wakes."""
        return self._timer is not None

    def add(self, fd: int, take: Callable[[], None]) -> None:
        """From now on `take` is called when `fd` can be read: within a tick. It reads once."""
        self._takers[fd] = take
        self._ready.register(fd, select.EPOLLIN)
        if self._timer is None and not self._watching:
            self._watch()

    def remove(self, fd: int) -> None:
        """Not any more. `fd` must still be open."""
        del self._takers[fd]
        self._ready.unregister(fd)
        if not self._takers:
            self._rest()

    def close(self) -> None:
        """The end of it all."""
        self._rest()
        self._ready.close()

    def _watch(self) -> None:
        self._loop.add_reader(self._ready.fileno(), self._woken)
        self._watching = True
        self._since, self._readings = self._loop.time(), 0

    def _rest(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._watching:
            self._watching = False
            self._loop.remove_reader(self._ready.fileno())

    def _woken(self) -> None:
        self._read()
        if self._watching and (rate := self._rate()) is not None and rate >= BUSY and len(self._takers) >= FEWEST:
            self._rest()
            self._timer = self._loop.call_later(self._tick_seconds, self._tick)

    def _tick(self) -> None:
        # Before anything is read: whatever a reader does, the next tick comes.
        self._timer = self._loop.call_later(self._tick_seconds, self._tick)
        self._read()
        rate = self._rate()
        if self._takers and ((rate is not None and rate < QUIET) or len(self._takers) < FEWEST):
            self._rest()
            self._watch()

    def _read(self) -> None:
        ready = self._ready.poll(0, MOST)
        self._readings += len(ready)
        for fd, _ in ready:
            if (take := self._takers.get(fd)) is not None:  # one that was read before it may have ended it
                take()

    def _rate(self) -> float | None:
        """Readings a tick, once a window."""
        now = self._loop.time()
        if (passed := now - self._since) < WINDOW_SECONDS:
            return None
        rate = self._readings * self._tick_seconds / passed
        self._since, self._readings = now, 0
        return rate


Coalescers = tuple[Coalescer | None, Coalescer | None]
"""For streams that are relayed as they are read, and for those that are looked at in groups."""


def coalescers(loop: asyncio.AbstractEventLoop, tick_seconds: float) -> Coalescers:
    """None where the system has no epoll, or `tick_seconds` is 0."""
    if not tick_seconds or not hasattr(select, "epoll"):
        return None, None
    return Coalescer(loop, tick_seconds), Coalescer(loop, SLOW * tick_seconds)
