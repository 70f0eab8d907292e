"""Where keys are kept: a hash in Redis, or one file that is replaced whole. It refuses to know secrets: it sees digests only."""

import asyncio
import contextlib
import fcntl
import os
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import TYPE_CHECKING

import orjson
from pydantic import ValidationError
from slipway_shared import errors

from slipway_gateway.keys import Key
from slipway_gateway.redis_client import lost

if TYPE_CHECKING:
    from redis.asyncio import Redis

_KEYS = "slipway:keys"
_IDS = "slipway:key-ids"


class RedisKeys:
    """Keys by digest in one hash, digests by id in another."""

    def __init__(self, redis: "Redis") -> None:
        self._redis = redis

    async def find(self, digest: str) -> Key | None:
        try:
            raw: bytes | None = await self._redis.hget(_KEYS, digest)  # type: ignore[misc]
        except lost() as error:
            raise errors.UpstreamFailed("Redis is away.") from error
        return _key(raw) if raw is not None else None

    async def all(self) -> list[Key]:
        try:
            raw: list[bytes] = await self._redis.hvals(_KEYS)  # type: ignore[misc]
        except lost() as error:
            raise errors.UpstreamFailed("Redis is away.") from error
        return sorted((key for item in raw if (key := _key(item)) is not None), key=lambda key: (key.created, key.id))

    async def put(self, key: Key) -> None:
        try:
            async with self._redis.pipeline(transaction=True) as pipe:
                old: bytes | None = await self._redis.hget(_IDS, key.id)  # type: ignore[misc]
                if old is not None:
                    pipe.hdel(_KEYS, old)  # type: ignore[arg-type]
                pipe.hset(_KEYS, key.digest, key.model_dump_json())
                pipe.hset(_IDS, key.id, key.digest)
                await pipe.execute()
        except lost() as error:
            raise errors.UpstreamFailed("Redis is away.") from error

    async def delete(self, key_id: str) -> bool:
        try:
            digest: bytes | None = await self._redis.hget(_IDS, key_id)  # type: ignore[misc]
            if digest is None:
                return False
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.hdel(_KEYS, digest)  # type: ignore[arg-type]
                pipe.hdel(_IDS, key_id)
                await pipe.execute()
        except lost() as error:
            raise errors.UpstreamFailed("Redis is away.") from error
        return True


class FileKeys:
    """Keys in one JSON file with mode 0600, for the gateways of one machine. Every change writes a new file and renames it, one process at a time; the
    others see by its identity that it is new."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = asyncio.Lock()
        self._keys: dict[str, Key] = {}
        self._version: tuple[int, int, int] | None = None

    async def find(self, digest: str) -> Key | None:
        return next((key for key in self._read().values() if key.digest == digest), None)

    async def all(self) -> list[Key]:
        return sorted(self._read().values(), key=lambda key: (key.created, key.id))

    async def put(self, key: Key) -> None:
        async with self._lock, self._alone():
            self._write({**self._read(), key.id: key})

    async def delete(self, key_id: str) -> bool:
        async with self._lock, self._alone():
            keys = dict(self._read())
            if keys.pop(key_id, None) is None:
                return False
            self._write(keys)
            return True

    def _read(self) -> dict[str, Key]:
        try:
            version = self._now()
            if version != self._version:
                listed = orjson.loads(self._path.read_bytes()) if version else []
                self._keys = {key.id: key for key in (Key.model_validate(item) for item in listed)}
                self._version = version
        except (OSError, orjson.JSONDecodeError, ValidationError) as error:
            raise errors.UpstreamFailed("The file of keys cannot be read.") from error
        return self._keys

    def _now(self) -> tuple[int, int, int] | None:
        """What changes with every new file; None where there is none."""
        try:
            seen = self._path.stat()
        except FileNotFoundError:
            return None
        return seen.st_ino, seen.st_mtime_ns, seen.st_size

    @contextlib.asynccontextmanager
    async def _alone(self) -> AsyncGenerator[None]:
        """No other process changes the file meanwhile: what it wrote last would be lost."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._path.with_suffix(".lock"), os.O_WRONLY | os.O_CREAT, 0o600)
        except OSError as error:
            raise errors.UpstreamFailed("The file of keys cannot be written.") from error
        try:
            await asyncio.to_thread(fcntl.flock, descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _write(self, keys: dict[str, Key]) -> None:
        fresh = self._path.with_suffix(".new")
        try:
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as handle:
                handle.write(orjson.dumps([key.model_dump(mode="json") for key in keys.values()], option=orjson.OPT_INDENT_2))
                handle.flush()
                os.fsync(handle.fileno())
            fresh.replace(self._path)
        except OSError as error:
            raise errors.UpstreamFailed("The file of keys cannot be written.") from error
        self._keys, self._version = keys, self._now()


def _key(raw: bytes) -> Key | None:
    try:
        return Key.model_validate_json(raw)
    except ValidationError:
        return None  # written by a newer or older version: not a key that we may trust
