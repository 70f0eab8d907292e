"""Batches in Redis, for all gateways together. How much a crash of Redis itself may lose is its own setting (`appendonly`).

    slipway:batch:ID            hash: document, tenant, cancelling_at, good, bad, size        slipway:batches:TENANT    ids by time of creation
    slipway:batch:ID:lines      hash: line -> "1" or "0" and the result                       slipway:batches           ids that are not over, the same
    slipway:batch:ID:owner      who runs it; expires with the lease

It knows Redis. It refuses to know what a line is.
"""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from slipway_gateway.batches.record import Batch
from slipway_gateway.batches.store import KEPT_SECONDS, MAX_LIVE, away, too_many
from slipway_gateway.redis_client import lost

if TYPE_CHECKING:
    from redis.asyncio import Redis

_LIVE = "slipway:batches"
_PAGE = 50
_APART = ("cancelling_at", "good", "bad", "size")

_CANCEL = "if redis.call('ZSCORE', KEYS[2], ARGV[2]) then redis.call('HSETNX', KEYS[1], 'cancelling_at', ARGV[1]) end"
_RENEW = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end return false"
_SAVE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] or not redis.call('ZSCORE', KEYS[4], ARGV[2]) then return 0 end
redis.call('HSET', KEYS[2], 'document', ARGV[3])
if ARGV[4] ~= '0' then
    redis.call('ZREM', KEYS[4], ARGV[2])
    redis.call('DEL', KEYS[1], KEYS[3])
    redis.call('EXPIRE', KEYS[2], ARGV[4])
end
return 1
"""
_PUT = """
if not redis.call('ZSCORE', KEYS[3], ARGV[1]) or redis.call('HSETNX', KEYS[2], ARGV[2], ARGV[4] .. ARGV[3]) == 0 then return 0 end
redis.call('HINCRBY', KEYS[1], ARGV[4] == '1' and 'good' or 'bad', 1)
redis.call('HINCRBY', KEYS[1], 'size', string.len(ARGV[3]))
return 1
"""


class RedisBatches:
    """A BatchStore in Redis."""

    def __init__(self, redis: "Redis") -> None:
        self._redis = redis

    async def add(self, batch: Batch) -> None:
        mine, ids = _mine(batch.tenant), await self._live()
        known: list[Any] = await _reached(self._redis.zmscore(mine, ids)) if ids else []
        if sum(score is not None for score in known) >= MAX_LIVE:
            raise too_many()
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.hset(_name(batch.id), mapping={"document": batch.model_dump_json(), "tenant": batch.tenant})
            # By microseconds, so that batches of one second keep their order; what has expired by itself is cleared on the way.
            seconds, micros = await _reached(self._redis.time())
            pipe.zadd(mine, {batch.id: seconds + micros / 1e6})
            pipe.zremrangebyscore(mine, 0, seconds - 2 * KEPT_SECONDS)
            pipe.zadd(_LIVE, {batch.id: seconds + micros / 1e6})
            await _reached(pipe.execute())

    async def get(self, tenant: str, batch_id: str) -> Batch | None:
        batch = await self._read(batch_id)
        return batch if batch is not None and batch.tenant == tenant else None

    async def listed(self, tenant: str, after: str | None, limit: int) -> list[Batch]:
        start = 0
        if after is not None:
            rank = await _reached(self._redis.zrevrank(_mine(tenant), after))
            if rank is None:
                return []
            start = int(rank) + 1
        ids: list[bytes] = await _reached(self._redis.zrevrange(_mine(tenant), start, start + limit - 1))
        return [batch for one in ids if (batch := await self._read(one.decode())) is not None]

    async def cancel(self, tenant: str, batch_id: str, now: int) -> Batch | None:
        if await self.get(tenant, batch_id) is None:
            return None
        await self._run(_CANCEL, [_name(batch_id), _LIVE], now, batch_id)
        return await self.get(tenant, batch_id)

    async def claim(self, owner: str, seconds: float) -> Batch | None:
        for one in await self._live():
            if await _reached(self._redis.set(_owner(one), owner, px=_millis(seconds), nx=True)):
                batch = await self._read(one)
                if batch is not None and not batch.over:  # it may have ended in between
                    return batch
                await _reached(self._redis.delete(_owner(one)))
        return None

    async def renew(self, batch: Batch, owner: str, seconds: float) -> Batch | None:
        mine = await self._run(_RENEW, [_owner(batch.id)], owner, owner, _millis(seconds))
        return await self._read(batch.id) if mine else None

    async def release(self, batch: Batch, owner: str, seconds: float) -> None:
        await self._run(_RENEW, [_owner(batch.id)], owner, "", _millis(seconds))

    async def save(self, batch: Batch, owner: str) -> bool:
        names = [_owner(batch.id), _name(batch.id), _lines(batch.id), _LIVE]
        kept = KEPT_SECONDS if batch.over else 0
        return bool(await self._run(_SAVE, names, owner, batch.id, batch.model_dump_json(), kept))

    async def put(self, batch: Batch, line: int, result: bytes, *, good: bool) -> bool:
        names = [_name(batch.id), _lines(batch.id), _LIVE]
        return bool(await self._run(_PUT, names, batch.id, line, result, "1" if good else "0"))

    async def done(self, batch: Batch) -> set[int]:
        return {int(line) for line in await _reached(self._redis.hkeys(_lines(batch.id)))}

    async def results(self, batch: Batch, *, good: bool) -> AsyncIterator[bytes]:
        lines = sorted(await self.done(batch))
        mark = b"1" if good else b"0"
        for start in range(0, len(lines), _PAGE):
            page = [str(line) for line in lines[start : start + _PAGE]]
            for raw in await _reached(self._redis.hmget(_lines(batch.id), page)):
                if raw is not None and raw[:1] == mark:
                    yield raw[1:]

    async def aclose(self) -> None:
        """The connection belongs to the process."""

    async def _live(self) -> list[str]:
        return [one.decode() for one in await _reached(self._redis.zrange(_LIVE, 0, -1))]

    async def _read(self, batch_id: str) -> Batch | None:
        kept: dict[bytes, bytes] = await _reached(self._redis.hgetall(_name(batch_id)))
        if not kept:
            return None
        apart = {name: int(raw) for name in _APART if (raw := kept.get(name.encode())) is not None}
        return Batch.model_validate_json(kept[b"document"]).model_copy(update=apart)

    async def _run(self, script: str, names: list[str], *given: Any) -> Any:
        return await _reached(self._redis.eval(script, len(names), *names, *given))


async def _reached(work: Any) -> Any:
    # The client types its answers for every mode and protocol at once.
    try:
        return await work
    except lost() as error:
        raise away() from error


def _millis(seconds: float) -> int:
    return max(1, round(seconds * 1000))


def _mine(tenant: str) -> str:
    return f"slipway:batches:{tenant}"


def _name(batch_id: str) -> str:
    return f"slipway:batch:{batch_id}"


def _lines(batch_id: str) -> str:
    return f"{_name(batch_id)}:lines"


def _owner(batch_id: str) -> str:
    return f"{_name(batch_id)}:owner"
