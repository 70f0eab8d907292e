"""Where responses are remembered, per tenant and for a while: in Redis, or in this process. It refuses to know what a response is."""

import time
from collections import OrderedDict
from typing import Any

import orjson
from redis.asyncio import Redis
from redis.exceptions import RedisError
from slipway_shared import errors

MAX_BYTES = 4 << 20
MAX_IN_MEMORY = 1000


class ResponseStore:
    """Keeps a response with the messages that led to it. What is lost or too old is simply not there."""

    def __init__(self, redis: "Redis | None", ttl_seconds: int) -> None:
        self._redis = redis
        self._ttl = ttl_seconds
        self._memory: OrderedDict[str, tuple[float, bytes]] = OrderedDict()

    async def put(self, tenant: str, response: dict[str, Any], messages: list[dict[str, Any]]) -> None:
        """Remembers; an entry above MAX_BYTES is not kept. Raises Overloaded when it cannot be."""
        raw = orjson.dumps({"response": response, "messages": messages})
        if len(raw) > MAX_BYTES:
            return
        name = _name(tenant, response["id"])
        if self._redis is None:
            self._memory[name] = (time.monotonic(), raw)
            self._memory.move_to_end(name)
            while len(self._memory) > MAX_IN_MEMORY:
                self._memory.popitem(last=False)
            return
        try:
            await self._redis.set(name, raw, ex=self._ttl)
        except (RedisError, OSError, TimeoutError) as error:
            raise _away() from error

    async def get(self, tenant: str, response_id: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """A response and its messages; raises NotFound for what is not this tenant's."""
        name = _name(tenant, response_id)
        if self._redis is None:
            kept = self._memory.get(name)
            raw = kept[1] if kept is not None and time.monotonic() - kept[0] < self._ttl else None
        else:
            try:
                raw = await self._redis.get(name)
            except (RedisError, OSError, TimeoutError) as error:
                raise _away() from error
        if raw is None:
            raise errors.NotFound("There is no such response.", param="response_id")
        document = orjson.loads(raw)
        return document["response"], document["messages"]

    async def delete(self, tenant: str, response_id: str) -> None:
        """Forgets a response; raises NotFound when there is none."""
        await self.get(tenant, response_id)
        name = _name(tenant, response_id)
        self._memory.pop(name, None)
        if self._redis is not None:
            try:
                await self._redis.delete(name)
            except (RedisError, OSError, TimeoutError) as error:
                raise _away() from error


def _name(tenant: str, response_id: str) -> str:
    return f"slipway:response:{tenant}:{response_id}"


def _away() -> errors.Overloaded:
    return errors.Overloaded("Responses cannot be stored or read now; try again, or send store: false.", code="store_unavailable")
