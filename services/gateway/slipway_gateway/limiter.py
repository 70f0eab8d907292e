"""Reserve before a request, settle after it: by one script call in Redis, or from local buckets while Redis is away.

It knows scopes and headers. It refuses to know how tokens are estimated, and never fails a request because the store failed.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Any, NamedTuple

from slipway_shared import errors
from slipway_shared.metrics import Metrics

from slipway_gateway.breaker import Breaker
from slipway_gateway.buckets import Decision, LocalBuckets, Scope, Use, month_of
from slipway_gateway.keys import Key
from slipway_gateway.redis_client import lost
from slipway_gateway.script import Script, place_of

if TYPE_CHECKING:
    from redis.asyncio import Redis

_AT_ONCE = 500
"""Scopes that are read in one round trip."""
_TOLD = tuple(
    (f"x-ratelimit-limit-{kind}", f"x-ratelimit-remaining-{kind}", f"x-ratelimit-reset-{kind}") for kind in ("requests", "tokens")
)
_SAID = {
    "requests": "Too many requests a minute",
    "tokens": "Too many tokens a minute",
    "streams": "Too many streams at once",
    "budget": "The month's budget is used up",
}


class LimitReached(errors.RateLimited):
    """429, with what is left in `x-ratelimit-*`."""

    limits: dict[str, str]

    def headers(self) -> dict[str, str]:
        return {**super().headers(), **self.limits}


class Grant(NamedTuple):
    """What was reserved for one request, to be settled once."""

    request: str
    scopes: tuple[Scope, ...]
    use: Use
    decision: Decision | None = None

    @property
    def headers(self) -> dict[str, str]:
        """What tells the caller what is left."""
        return _headers(self.scopes, self.decision) if self.decision is not None else {}


class Limiter:
    """Counts use per key and per tenant. `local` is used where there is no Redis, `spare` (with a share of each limit) while Redis is away."""

    def __init__(
        self, redis: "Redis | None", metrics: Metrics, *, local_share: float, lease_seconds: float, clock: Callable[[], float] = time.time
    ) -> None:
        self._redis = redis
        self.clock = clock
        self._local = LocalBuckets(clock=clock)
        self._spare = LocalBuckets(share=local_share, clock=clock)
        self._lease_seconds = lease_seconds
        self._breaker = Breaker("limiter's store", failures=1, open_seconds=1.0)
        text = (files("slipway_gateway") / "limits.lua").read_text()
        place = place_of(redis) if redis is not None else None
        self._script = Script(place, text) if place is not None else None
        self._registered = redis.register_script(text) if redis is not None else None
        self._without_store = metrics.counter("slipway_limiter_local")
        self._refused = metrics.counter("slipway_refused", reason="limit")
        self._behind: set[asyncio.Task[Decision]] = set()
        self._scopes: dict[str, tuple[Key, tuple[Scope, ...]]] = {}

    async def reserve(self, key: Key, request: str, use: Use) -> Grant:
        """Takes `use` from the key's and its tenant's buckets; raises LimitReached. A key without limits costs nothing."""
        scopes = self._scopes_of(key)
        if not scopes:
            return Grant(request, (), use)
        return Grant(request, scopes, use, await self._take(scopes, request, use))

    async def extend(self, grant: Grant, more: Use) -> Grant:
        """The same grant with `more` tokens; raises LimitReached."""
        if not grant.scopes:
            return grant
        decision = await self._take(grant.scopes, grant.request, more)
        use = grant.use._replace(tokens=grant.use.tokens + more.tokens, micros=grant.use.micros + more.micros)
        return Grant(grant.request, grant.scopes, use, decision)

    async def _take(self, scopes: tuple[Scope, ...], request: str, use: Use) -> Decision:
        decision = await self._decide("reserve", scopes, request, use)
        if decision.admitted:
            return decision
        self._refused.inc()
        reached = LimitReached(
            f"{_SAID[decision.dimension]}; try again later.", code=f"{decision.dimension}_limit", retry_after_seconds=decision.wait_seconds
        )
        reached.limits = _headers(scopes, decision)
        raise reached

    async def settle(self, grant: Grant, *, tokens: int, micros: float) -> dict[str, str]:
        """Corrects the reservation to what was used; the headers that are true now."""
        if not grant.scopes:
            return {}
        back = Use(0, grant.use.tokens - tokens, grant.use.micros - micros, grant.use.stream, micros)
        return _headers(grant.scopes, await self._decide("settle", grant.scopes, grant.request, back))

    def settle_behind(self, grant: Grant, *, tokens: int, micros: float) -> None:
        """`settle` without waiting, for a request whose caller is gone or whose task is being cancelled."""
        if grant.scopes:
            back = Use(0, grant.use.tokens - tokens, grant.use.micros - micros, grant.use.stream, micros)
            self._later(self._decide("settle", grant.scopes, grant.request, back))

    async def used(self, scopes: Sequence[Scope]) -> list[float]:
        """Micro-dollars that were paid in each of `scopes` this month; raises UpstreamFailed while the store is away."""
        if self._redis is None:
            return [self._local.used(scope) for scope in scopes]
        month, out = month_of(self.clock()).encode(), list[float]()
        try:
            for first in range(0, len(scopes), _AT_ONCE):
                async with self._redis.pipeline(transaction=False) as pipe:
                    for scope in scopes[first : first + _AT_ONCE]:
                        pipe.hmget(_name(scope), "month", "used")
                    out += [float(used or 0) if held == month else 0.0 for held, used in await pipe.execute()]
        except (*lost(), ValueError) as error:
            raise errors.UpstreamFailed("The limiter's store cannot be read.") from error
        return out

    async def aclose(self) -> None:
        """Waits for what is settled behind."""
        await asyncio.gather(*self._behind, return_exceptions=True)
        if self._script is not None:
            self._script.close()

    def _scopes_of(self, key: Key) -> tuple[Scope, ...]:
        known = self._scopes.get(key.id)
        if known is None or known[0] is not key:
            if len(self._scopes) > 10_000:
                self._scopes.clear()
            known = self._scopes[key.id] = (key, scopes_of(key))
        return known[1]

    def _later(self, work: Coroutine[Any, Any, Decision]) -> None:
        task = asyncio.create_task(work)
        self._behind.add(task)
        task.add_done_callback(self._behind.discard)

    async def _decide(self, verb: str, scopes: tuple[Scope, ...], request: str, use: Use) -> Decision:
        if self._redis is None:
            return self._by(self._local, verb, scopes, request, use)
        try:
            given = self._breaker.enter()
        except errors.UpstreamFailed:
            self._without_store.inc()
            return self._by(self._spare, verb, scopes, request, use)
        failed: bool | None = None
        try:
            decision = await self._call(verb, scopes, request, use)
            failed = False
            return decision
        except (*lost(), ValueError):
            failed = True
            self._without_store.inc()
            return self._by(self._spare, verb, scopes, request, use)
        finally:
            self._breaker.leave(given, failed=failed)

    def _by(self, buckets: LocalBuckets, verb: str, scopes: tuple[Scope, ...], request: str, use: Use) -> Decision:
        if verb == "reserve":
            return buckets.reserve(scopes, request, use, self._lease_seconds)
        return buckets.settle(scopes, request, use)

    async def _call(self, verb: str, scopes: tuple[Scope, ...], request: str, use: Use) -> Decision:
        names = [_name(scope) for scope in scopes]
        lease, month = int(self._lease_seconds * 1000), month_of(self.clock())
        head = f"{verb} {request} {use.requests} {use.tokens} {use.micros} {int(use.stream)} {lease} {month} {use.paid}"
        given = " ".join([head, *(str(number) for scope in scopes for number in scope.numbers)])
        raw: bytes
        if self._script is not None:
            raw = await self._script.call(names, given)
        else:
            assert self._registered is not None
            raw = await self._registered(keys=names, args=[given])
        admitted, scope, dimension, wait, *left = raw.decode().split(" ")
        pairs = tuple(zip(map(int, left[::2]), map(int, left[1::2]), strict=True))
        return Decision(admitted == "1", pairs, int(scope) - 1, "" if dimension == "-" else dimension, int(wait) / 1000)


def _name(scope: Scope) -> str:
    """Where Redis keeps it."""
    return f"slipway:use:{scope.name}"


def scopes_of(key: Key) -> tuple[Scope, ...]:
    """What is counted for `key`: its own limits, and those that all keys of its tenant share."""
    both = (Scope(f"key:{key.id}", key.limits), Scope(f"tenant:{key.tenant}", key.tenant_limits))
    return tuple(scope for scope in both if scope.limits.any)


def _headers(scopes: tuple[Scope, ...], decision: Decision) -> dict[str, str]:
    """OpenAI's headers, for the scope with the least left of each kind."""
    out: dict[str, str] = {}
    for at, (limit_name, left_name, reset_name) in enumerate(_TOLD):
        known: tuple[int, int] | None = None
        for scope, both in zip(scopes, decision.left, strict=True):
            if (limit := scope.numbers[at]) and (known is None or (max(0, both[at]), limit) < known):
                known = max(0, both[at]), limit
        if known is not None:
            left, limit = known
            out[limit_name], out[left_name], out[reset_name] = str(limit), str(left), f"{(limit - left) * 60 / limit:.1f}s"
    return out
