"""The process's connections to all parts: which are kept, how new ones are made, and how many there may be.

It knows addresses and counts. It refuses to know what travels.
"""

import asyncio
import ssl
from collections import defaultdict, deque
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from slipway_gateway.answer import Answer, Late, Unreachable
from slipway_gateway.coalesce import Coalescers, coalescers
from slipway_gateway.head import Body, request_head
from slipway_gateway.wire import Connection

KEEP_SECONDS = 30.0
"""An idle connection that is older is not used again."""
LATE_TURNS = 4
"""Turns of the loop that a connection is given after its time: in a busy process it has been made and nobody came to see it."""
DIALS_AT_ONCE = 64
"""Connections that are being made at once: a thousand callers in one turn of the loop would else count the loop's own lag as the part's."""


@dataclass(frozen=True, slots=True, eq=False)
class Origin:
    """Where a part listens. `base` stands before every path. Every part has its own: connections are not shared between parts."""

    host: str
    port: int
    secure: bool
    authority: str
    base: str

    @classmethod
    def parse(cls, url: str) -> "Origin":
        """From an http(s) URL; raises ValueError."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url} is no http(s) address.")
        secure = parts.scheme == "https"
        return cls(parts.hostname, parts.port or (443 if secure else 80), secure, parts.netloc.rpartition("@")[2], parts.path.rstrip("/"))


class Patience(NamedTuple):
    """How long an exchange may take in all (None: for ever), to connect, and between two pieces; seconds."""

    total: float | None
    connect: float
    idle: float


class Session:
    """Connections for as long as the service runs: at most `connections`, of which an idle one is used before a new one is made. Streams that allow it are
    read together, every `tick_seconds` (0: each as it comes)."""

    def __init__(self, connections: int, *, tick_seconds: float = 0.0) -> None:
        self._most = connections
        self._tick_seconds = tick_seconds
        self._coalescers: Coalescers = (None, None)
        self._open: set[Connection] = set()
        self._idle: defaultdict[Origin, list[Connection]] = defaultdict(list)
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._pending = 0
        self._dialling: asyncio.Semaphore | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tls: ssl.SSLContext | None = None

    async def __aenter__(self) -> "Session":
        self._dialling = asyncio.Semaphore(DIALS_AT_ONCE)
        self._loop = asyncio.get_running_loop()  # once: asking is a call of the system each time
        self._coalescers = coalescers(self._loop, self._tick_seconds)
        return self

    async def __aexit__(self, *_: object) -> None:
        for connection in list(self._open):
            connection.cut()
        for one in self._coalescers:
            if one is not None:
                one.close()
        await asyncio.sleep(0)

    def request(
        self, method: str, origin: Origin, path: str, headers: Mapping[str, str], body: Body, patience: Patience
    ) -> Coroutine[Any, Any, Answer]:
        """The answer, once its head is there; to be awaited at once, as it may hold a connection. Raises WireError, and ValueError where the request cannot
        be written."""
        loop = self._loop
        if loop is None:
            raise RuntimeError("the session is not open")
        due = float("inf") if patience.total is None else loop.time() + patience.total
        head = request_head(method, origin.base + path, origin.authority, headers, body)
        length = int(told) if (told := headers.get("content-length")) is not None else None
        if (connection := self._kept(origin, loop.time())) is not None:  # as most: without a coroutine in between
            return connection.exchange(head, body, length=length, idle_seconds=patience.idle, due=due)
        return self._anew(head, origin, body, length, patience, due, loop)

    async def _anew(
        self, head: bytes, origin: Origin, body: Body, length: int | None, patience: Patience, due: float, loop: asyncio.AbstractEventLoop
    ) -> Answer:
        connection = await self._made(origin, patience, due, loop)
        return await connection.exchange(head, body, length=length, idle_seconds=patience.idle, due=due)

    def _kept(self, origin: Origin, now: float) -> Connection | None:
        idle = self._idle[origin]
        while idle:
            connection = idle.pop()
            if connection.alive and now - connection.idle_since < KEEP_SECONDS:
                return connection
            connection.cut()
        return None

    async def _made(self, origin: Origin, patience: Patience, due: float, loop: asyncio.AbstractEventLoop) -> Connection:
        while len(self._open) + self._pending >= self._most:
            if not self._drop_idle():
                await self._turn(loop, due)
            if (connection := self._kept(origin, loop.time())) is not None:
                return connection
        self._pending += 1
        try:
            return await self._dial(origin, patience, due, loop)
        finally:
            self._pending -= 1
            self._next()

    async def _dial(self, origin: Origin, patience: Patience, due: float, loop: asyncio.AbstractEventLoop) -> Connection:
        if self._dialling is None:
            raise RuntimeError("the session is not open")
        if origin.secure and self._tls is None:
            self._tls = ssl.create_default_context()
        connection = Connection(loop, self._coalescers)
        try:
            async with asyncio.timeout_at(None if due == float("inf") else due), self._dialling:
                await self._connect(connection, origin, patience.connect, loop)
        except OSError as error:  # TimeoutError is one
            connection.cut()
            if loop.time() >= due:
                raise Late("the exchange's time is over") from error
            raise Unreachable("no connection") from error
        self._open.add(connection)
        connection.released = lambda: self._released(origin, connection)
        return connection

    async def _connect(self, connection: Connection, origin: Origin, seconds: float, loop: asyncio.AbstractEventLoop) -> None:
        """Raises OSError; TimeoutError after `seconds`, unless it was only our own loop that was late to look."""
        tls = self._tls if origin.secure else None
        making = loop.create_task(loop.create_connection(lambda: connection, origin.host, origin.port, ssl=tls))
        try:
            await asyncio.wait({making}, timeout=seconds)
            for _ in range(LATE_TURNS):
                if making.done():
                    break
                await asyncio.sleep(0)
            if not making.done():
                raise TimeoutError
            making.result()
        finally:
            making.cancel()
            await asyncio.gather(making, return_exceptions=True)

    async def _turn(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        """Returns when a connection may be free."""
        turn = loop.create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout_at(None if due == float("inf") else due):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():
                self._next()  # its turn came in the same moment
            if isinstance(error, TimeoutError):
                raise Late("the exchange's time is over") from None
            raise

    def _drop_idle(self) -> bool:
        """Makes room: an idle connection of any part is closed."""
        for idle in self._idle.values():
            if idle:
                connection = idle.pop(0)
                connection.cut()
                self._open.discard(connection)
                return True
        return False

    def _released(self, origin: Origin, connection: Connection) -> None:
        if connection.alive:
            self._idle[origin].append(connection)
        else:
            self._open.discard(connection)
            idle = self._idle[origin]
            if connection in idle:
                idle.remove(connection)
        self._next()

    def _next(self) -> None:
        """Whoever waits longest looks again."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
