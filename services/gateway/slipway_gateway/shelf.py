"""A shelf for small things that all processes of the gateway shall see: values by name, each for a while, changed only by who knows the old one.

In Redis, in one SQLite file, or in this process alone. It refuses to know what lies on it.
"""

import sqlite3
import time
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from slipway_shared import errors

from slipway_gateway.database import Database
from slipway_gateway.redis_client import lost

if TYPE_CHECKING:
    from redis.asyncio import Redis

MAX_MEMORY_BYTES = 64 << 20
"""What the shelf of one process holds; the oldest falls off."""
_SWAP = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == '' then redis.call('DEL', KEYS[1]) else redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end
return 1
"""
_SCHEMA = "CREATE TABLE IF NOT EXISTS shelf (name TEXT PRIMARY KEY, value BLOB NOT NULL, until REAL NOT NULL) WITHOUT ROWID;"


class Shelf(Protocol):
    """Values are never empty. Raises Overloaded while it cannot be reached."""

    async def get(self, name: str) -> bytes | None:
        """What lies there."""
        ...

    async def put(self, name: str, value: bytes, seconds: float) -> None:
        """Lays `value` there, whatever lay there before."""
        ...

    async def add(self, name: str, value: bytes, seconds: float) -> bool:
        """The same where nothing lies; False where something does."""
        ...

    async def swap(self, name: str, old: bytes, new: bytes, seconds: float = 0) -> bool:
        """Puts `new` in the place of `old`, nothing where it is empty; False when something else lies there."""
        ...

    async def aclose(self) -> None:
        """Closes it."""
        ...


class MemoryShelf:
    """A Shelf of this process alone."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, tuple[bytes, float]] = OrderedDict()
        self._size = 0

    async def get(self, name: str) -> bytes | None:
        value, until = self._kept.get(name, (None, 0.0))
        return value if time.monotonic() < until else None

    async def put(self, name: str, value: bytes, seconds: float) -> None:
        self._drop(name)
        self._kept[name] = (value, time.monotonic() + seconds)
        self._size += len(value)
        while self._size > MAX_MEMORY_BYTES:
            self._drop(next(iter(self._kept)))

    async def add(self, name: str, value: bytes, seconds: float) -> bool:
        if await self.get(name) is not None:
            return False
        await self.put(name, value, seconds)
        return True

    async def swap(self, name: str, old: bytes, new: bytes, seconds: float = 0) -> bool:
        if await self.get(name) != old:
            return False
        if new:
            await self.put(name, new, seconds)
        else:
            self._drop(name)
        return True

    async def aclose(self) -> None:
        self._kept.clear()
        self._size = 0

    def _drop(self, name: str) -> None:
        value, _ = self._kept.pop(name, (b"", 0.0))
        self._size -= len(value)


class RedisShelf:
    """A Shelf in Redis."""

    def __init__(self, redis: "Redis") -> None:
        self._redis = redis

    async def get(self, name: str) -> bytes | None:
        return await _reached(self._redis.get(_key(name)))

    async def put(self, name: str, value: bytes, seconds: float) -> None:
        await _reached(self._redis.set(_key(name), value, px=_millis(seconds)))

    async def add(self, name: str, value: bytes, seconds: float) -> bool:
        return bool(await _reached(self._redis.set(_key(name), value, px=_millis(seconds), nx=True)))

    async def swap(self, name: str, old: bytes, new: bytes, seconds: float = 0) -> bool:
        return bool(await _reached(self._redis.eval(_SWAP, 1, _key(name), old, new, _millis(seconds))))

    async def aclose(self) -> None:
        """The connection belongs to the process."""


class SqliteShelf:
    """A Shelf in one file, for the processes of one machine."""

    def __init__(self, path: Path) -> None:
        self._database = Database(path, _SCHEMA, away)

    async def get(self, name: str) -> bytes | None:
        return await self._database.do(lambda db: _kept(db, name))

    async def put(self, name: str, value: bytes, seconds: float) -> None:
        def work(db: sqlite3.Connection) -> None:
            db.execute("DELETE FROM shelf WHERE name IN (SELECT name FROM shelf WHERE until <= ? LIMIT 10)", (time.time(),))
            db.execute("INSERT OR REPLACE INTO shelf VALUES (?, ?, ?)", (name, value, time.time() + seconds))

        await self._database.do(work)

    async def add(self, name: str, value: bytes, seconds: float) -> bool:
        def work(db: sqlite3.Connection) -> bool:
            if _kept(db, name) is not None:
                return False
            db.execute("INSERT OR REPLACE INTO shelf VALUES (?, ?, ?)", (name, value, time.time() + seconds))
            return True

        return await self._database.do(work)

    async def swap(self, name: str, old: bytes, new: bytes, seconds: float = 0) -> bool:
        def work(db: sqlite3.Connection) -> bool:
            if _kept(db, name) != old:
                return False
            if new:
                db.execute("UPDATE shelf SET value = ?, until = ? WHERE name = ?", (new, time.time() + seconds, name))
            else:
                db.execute("DELETE FROM shelf WHERE name = ?", (name,))
            return True

        return await self._database.do(work)

    async def aclose(self) -> None:
        await self._database.aclose()


def away() -> errors.Overloaded:
    """The shelf does not answer."""
    return errors.Overloaded("What is kept between requests cannot be read or written now; try again.", code="store_unavailable")


def _kept(db: sqlite3.Connection, name: str) -> bytes | None:
    row = db.execute("SELECT value FROM shelf WHERE name = ? AND until > ?", (name, time.time())).fetchone()
    return None if row is None else row["value"]


def _key(name: str) -> str:
    return f"slipway:{name}"


def _millis(seconds: float) -> int:
    return max(1, round(seconds * 1000))


async def _reached(work: Any) -> Any:
    # The client types its answers for every mode and protocol at once.
    try:
        return await work
    except lost() as error:
        raise away() from error
