"""One script in Redis, called over one connection: calls of one turn of the loop leave in one write, and their answers come back in order (RESP2).

A general client costs more than the script itself: a pool, a task's timeout, a parser of all types and a retry policy for each call
(`make bench-gateway ARGS="--redis URL"`). It knows EVALSHA and its answers. It refuses to know what the script does, and makes no second tries: while Redis is
away, its user goes on by itself.
"""

import asyncio
import hashlib
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, cast

if TYPE_CHECKING:
    from redis.asyncio import Redis

MAX_ANSWER_BYTES = 1 << 16


class StoreError(ConnectionError):
    """Redis is away, refused, or said what is no answer."""


class Place(NamedTuple):
    """Where Redis listens, and how one is let in. `path`: of a Unix socket, in place of host and port."""

    host: str
    port: int
    path: str | None
    username: str | None
    password: str | None
    database: int
    seconds: float


def place_of(redis: "Redis") -> Place | None:
    """Where `redis` connects to; None where that takes more than this module knows: TLS, or credentials that change."""
    pool = redis.connection_pool
    told: dict[str, Any] = pool.connection_kwargs
    if told.get("credential_provider") is not None or pool.connection_class.__name__ not in ("Connection", "UnixDomainSocketConnection"):
        return None
    host, port = told.get("host") or "localhost", int(told.get("port") or 6379)
    login = told.get("username"), told.get("password")
    return Place(host, port, told.get("path"), *login, int(told.get("db") or 0), float(told.get("socket_timeout") or 1.0))


class Script:
    """`text` at `place`. The connection is made when it is first needed, and anew after it was lost."""

    def __init__(self, place: Place, text: str) -> None:
        self._place = place
        self._text = text
        self._sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
        self._line: _Line | None = None
        self._dialling: asyncio.Task[_Line] | None = None

    async def call(self, keys: Sequence[str], given: str) -> bytes:
        """The script's answer, a string, for `keys` and one argument. Raises StoreError and TimeoutError."""
        line = self._line
        if line is None or not line.alive:
            line = await self._connected()
        parts = (str(len(keys)), *keys, given)
        try:
            return await line.ask(_command("EVALSHA", self._sha, *parts))
        except _UnknownScript:  # the store was restarted or flushed, or sees it for the first time
            return await line.ask(_command("EVAL", self._text, *parts))

    def close(self) -> None:
        """Hangs up."""
        if self._dialling is not None:
            self._dialling.cancel()
        if self._line is not None:
            self._line.cut()

    async def _connected(self) -> "_Line":
        if self._dialling is None or self._dialling.done():
            self._dialling = asyncio.create_task(self._dial())
            self._dialling.add_done_callback(_looked_at)
        # One dials for all who wait; who is cancelled meanwhile leaves it to the others.
        line = await asyncio.shield(self._dialling)
        self._line = line
        return line

    async def _dial(self) -> "_Line":
        loop, place = asyncio.get_running_loop(), self._place
        line = _Line(loop, place.seconds)
        try:
            async with asyncio.timeout(place.seconds):
                if place.path is not None:
                    await loop.create_unix_connection(lambda: line, place.path)
                else:
                    await loop.create_connection(lambda: line, place.host, place.port)
                if place.password is not None:
                    await line.ask(_command("AUTH", *([place.username] if place.username else []), place.password))
                if place.database:
                    await line.ask(_command("SELECT", str(place.database)))
        except BaseException:
            line.cut()
            raise
        return line


def _looked_at(task: "asyncio.Task[_Line]") -> None:
    """Its failure is told to whoever still waits; if nobody does, it is none."""
    if not task.cancelled():
        task.exception()


class _UnknownScript(StoreError):
    """It was never loaded there."""


class _Line(asyncio.Protocol):
    """The connection. Every answer must come within `seconds`; as they come in order, one that is late makes all late."""

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        self._loop = loop
        self._seconds = seconds
        self._transport: asyncio.Transport | None = None
        self._waiting: deque[tuple[asyncio.Future[bytes], float]] = deque()
        self._unsent: list[bytes] = []
        self._rest = b""
        self._timer: asyncio.TimerHandle | None = None
        self.alive = False

    def ask(self, command: bytes) -> "asyncio.Future[bytes]":
        """The answer to `command`."""
        answer: asyncio.Future[bytes] = self._loop.create_future()
        if not self.alive:
            answer.set_exception(StoreError("the connection to Redis was lost"))
            return answer
        due = self._loop.time() + self._seconds
        self._waiting.append((answer, due))
        self._unsent.append(command)
        if len(self._unsent) == 1:
            self._loop.call_soon(self._flush)
        if self._timer is None:
            self._timer = self._loop.call_at(due, self._tick)
        return answer

    def cut(self) -> None:
        """Hangs up; who still waits is told."""
        self._end(StoreError("the connection to Redis was closed"))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass of asyncio's
        self.alive = True

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(StoreError("the connection to Redis was lost"))

    def data_received(self, data: bytes) -> None:
        self._rest += data
        try:
            while self._rest and self._answered():
                pass
        except (ValueError, IndexError):
            self._end(StoreError("what Redis said is no answer"))

    def _answered(self) -> bool:
        """Takes one whole answer from what lies there; False where there is none yet. Raises ValueError and IndexError where it is none of ours."""
        head, mark, after = self._rest.partition(b"\r\n")
        if not mark:
            if len(head) > MAX_ANSWER_BYTES:
                raise ValueError("too long")
            return False
        kind, said = head[:1], head[1:]
        if kind == b"$":
            if not 0 <= (size := int(said)) <= MAX_ANSWER_BYTES:
                raise ValueError("no string")
            if len(after) < size + 2:
                return False
            said, after = after[:size], after[size + 2 :]
        elif kind not in (b"+", b"-"):
            raise ValueError("no string")
        self._rest = after
        answer, _ = self._waiting.popleft()
        if answer.done():
            return True  # nobody waits any more
        if kind == b"-":
            unknown = said.startswith(b"NOSCRIPT")
            answer.set_exception((_UnknownScript if unknown else StoreError)(said.decode(errors="replace")))
        else:
            answer.set_result(said)
        return True

    def _flush(self) -> None:
        commands, self._unsent = self._unsent, []
        if self.alive and self._transport is not None:
            self._transport.write(commands[0] if len(commands) == 1 else b"".join(commands))

    def _tick(self) -> None:
        self._timer = None
        if not self._waiting:
            return
        _, due = self._waiting[0]
        if due <= self._loop.time():
            self._end(TimeoutError("Redis did not answer in time"))
        else:
            self._timer = self._loop.call_at(due, self._tick)

    def _end(self, error: Exception) -> None:
        self.alive = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._transport is not None:
            self._transport.abort()
        waiting, self._waiting = self._waiting, deque()
        for answer, _ in waiting:
            if not answer.done():
                answer.set_exception(error)


def _command(*parts: str) -> bytes:
    """A command as Redis reads it: the number of its parts, and each with its length."""
    out = [b"*%d\r\n" % len(parts)]
    for part in parts:
        raw = part.encode()
        out.append(b"$%d\r\n%b\r\n" % (len(raw), raw))
    return b"".join(out)
