"""Where the bytes of one connection come from: its transport, which tells of them as they come, or a Coalescer's tick.

It knows who reads the socket, and that only one does. It refuses to know what is read.
"""

import asyncio
import os
from collections.abc import Callable

from slipway_gateway.coalesce import Coalescer, Coalescers

READ_BYTES = 1 << 16
READINGS = 16
"""Times that a socket is read in one tick, while it gives as much as is taken: what comes in bulk is not slowed down."""


class Intake:
    """Reads for `receive`. `broke` is called where reading failed on the tick; the end of what comes is always told by the transport."""

    __slots__ = ("_broke", "_coalescer", "_coalescers", "_fd", "_receive", "_transport", "paused")

    def __init__(
        self, transport: asyncio.Transport, coalescers: Coalescers, receive: Callable[[bytes], None], broke: Callable[[], None]
    ) -> None:
        self._transport = transport
        # Under TLS what is read from the socket is not what was said.
        self._coalescers = (None, None) if transport.get_extra_info("sslcontext") else coalescers
        self._coalescer: Coalescer | None = None
        self._receive = receive
        self._broke = broke
        self._fd = -1  # a descriptor of our own for the same socket, while it is the tick's: the transport may close its own at any time
        self.paused = False

    def relax(self, *, slow: bool) -> None:
        """From now on bytes may come up to a tick late; `slow`: a few ticks."""
        coalescer = self._coalescers[slow]
        if coalescer is None or self._fd >= 0 or self.paused or self._transport.is_closing():
            return
        self._transport.pause_reading()
        self._fd = os.dup(self._transport.get_extra_info("socket").fileno())
        self._coalescer = coalescer
        coalescer.add(self._fd, self._take)

    def hurry(self) -> None:
        """Bytes are told of as they come again, also after `pause`."""
        relaxed = self._fd >= 0
        self.leave()
        if relaxed or self.paused:
            self.paused = False
            if not self._transport.is_closing():
                self._transport.resume_reading()

    def pause(self) -> None:
        """Nothing is read, until `hurry` is called."""
        if self._fd >= 0:
            self.leave()
        else:
            self._transport.pause_reading()
        self.paused = True

    def leave(self) -> None:
        """The tick does not read any more; nobody does, until `hurry` is called."""
        if self._fd >= 0 and self._coalescer is not None:
            self._coalescer.remove(self._fd)
            os.close(self._fd)
            self._fd = -1

    def _take(self) -> None:
        for _ in range(READINGS):
            try:
                data = os.read(self._fd, READ_BYTES)
            except BlockingIOError:
                return
            except OSError:
                self.leave()
                self._broke()
                return
            if not data:
                self.hurry()
                return
            self._receive(data)
            if len(data) < READ_BYTES or self._fd < 0:
                return
