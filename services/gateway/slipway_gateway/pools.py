"""Pools of generators: which there are, their workers, and how a call finds the least loaded one.

It knows addresses, device classes, costs and which worker failed. It refuses to know requests and to choose between pools.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Annotated, Protocol

from pydantic import BaseModel, ConfigDict, Field, field_validator
from slipway_shared import errors
from slipway_shared.context import RequestContext
from slipway_shared.metrics import Metrics

from slipway_gateway.admission import Gate
from slipway_gateway.answer import Answer
from slipway_gateway.breaker import RetryBudget
from slipway_gateway.concurrency import Adaptive
from slipway_gateway.dial import Session
from slipway_gateway.head import Body
from slipway_gateway.pace import Pace
from slipway_gateway.upstream import Bounds, Call, Upstream

AVOIDED_SECONDS = 5.0
"""A worker whose call failed is asked last for this long, so that callers do not spend the budget of retries on it before its breaker opens."""

_JSON = {"content-type": "application/json"}
_MOVES = (errors.UpstreamFailed, errors.Overloaded, errors.RateLimited)
"""What another worker may do better."""

Url = Annotated[str, Field(pattern=r"^https?://", max_length=512)]


class PoolSpec(BaseModel):
    """One pool as it is set: `SLIPWAY_GATEWAY_POOLS='[{"name": "cpu", "urls": ["http://..."], "device_class": "x86", "cost": 0.1}]'`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")
    urls: Annotated[tuple[Url, ...], Field(min_length=1, max_length=64, description="workers; or one address of a balancer before them")]
    device_class: str | None = Field(default=None, pattern=r"^[a-z0-9]{1,16}$")
    cost: float = Field(default=0.0, ge=0, le=1e6, description="of a million tokens, in any unit: the cheapest pool that fits is asked")
    tier: int = Field(default=0, ge=0, le=100, description="a fallback goes to pools of a higher tier")
    concurrency: int = Field(default=64, ge=1, le=65_536, description="requests at once to begin with; it adapts")
    most: int = Field(default=1024, ge=1, le=65_536, description="requests at once at most")

    @field_validator("urls")
    @classmethod
    def _plain(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(url.rstrip("/") for url in value)


class Asked(Protocol):
    """What can be asked: a part, or a pool of its workers."""

    name: str

    async def post(self, path: str, body: bytes, context: RequestContext, *, seconds: float | None = None) -> bytes:
        """See Upstream."""
        ...

    async def get(self, path: str, context: RequestContext, *, seconds: float | None = None) -> bytes:
        """See Upstream."""
        ...


@dataclass(eq=False, slots=True)
class _Worker:
    upstream: Upstream
    running: int = 0
    failed: float = float("-inf")
    """When its last call failed, by the monotonic clock."""


class Workers(Upstream):
    """The workers of one pool behind the face of a single part. A call that failed before its first byte goes once more, to another worker, within a budget."""

    def __init__(self, spec: PoolSpec, session: Session, bounds: Bounds, metrics: Metrics) -> None:
        super().__init__("generator", spec.urls[0], session, bounds, metrics)
        names = ["generator"] if len(spec.urls) == 1 else [f"generator-{spec.name}-{at}" for at in range(len(spec.urls))]
        self._workers = [_Worker(Upstream(name, url, session, bounds, metrics)) for name, url in zip(names, spec.urls, strict=True)]
        self._again = RetryBudget()
        self._moved = metrics.counter("slipway_retries", upstream=f"pool-{spec.name}")

    @property
    def down(self) -> bool:
        """Whether every worker is failing and not asked now."""
        return all(worker.upstream.failing for worker in self._workers)

    async def post(self, path: str, body: bytes, context: RequestContext, *, seconds: float | None = None) -> bytes:
        """As Upstream's, by the worker with the fewest calls."""
        if len(self._workers) > 1:
            async with self.open("POST", path, body, context, seconds=seconds, headers=_JSON) as answer:
                return await self.read(answer)
        worker = self._workers[0]
        worker.running += 1
        try:
            return await worker.upstream.post(path, body, context, seconds=seconds)
        finally:
            worker.running -= 1

    def open(
        self,
        method: str,
        path: str,
        body: Body,
        context: RequestContext,
        *,
        seconds: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Call:
        """As Upstream's, by the worker with the fewest calls."""
        self._again.call()
        # Bytes that were read from a stream cannot be sent again.
        movable = len(self._workers) > 1 and (body is None or isinstance(body, bytes))
        return _Moving(
            self, lambda worker: worker.upstream.open(method, path, body, context, seconds=seconds, headers=headers), movable=movable
        )

    def least(self, tried: set[int]) -> _Worker | None:
        """The worker to ask next, of those that are not in `tried`."""
        if len(self._workers) == 1:
            return None if tried else self._workers[0]
        left = [worker for worker in self._workers if id(worker) not in tried]
        lately = time.monotonic() - AVOIDED_SECONDS
        return min(left, key=lambda worker: (worker.upstream.failing, worker.failed > lately, worker.running), default=None)

    def move(self) -> bool:
        """Whether the budget has a second call; takes it."""
        if not self._again.spend():
            return False
        self._moved.inc()
        return True


class _Moving:
    """A Call to a worker, and before its answer's head to another one where that failed. A caller's own deadline is nobody's fault."""

    __slots__ = ("_call", "_make", "_movable", "_worker", "_workers")

    def __init__(self, workers: Workers, make: Callable[[_Worker], Call], *, movable: bool) -> None:
        self._workers = workers
        self._make = make
        self._movable = movable
        self._worker: _Worker | None = None

    async def __aenter__(self) -> Answer:
        tried = set[int]()
        worker = self._workers.least(tried)
        assert worker is not None
        while True:
            worker.running += 1
            self._worker, self._call = worker, self._make(worker)
            try:
                return await self._call.__aenter__()
            except BaseException as error:
                self._left(error)
                tried.add(id(worker))
                if not isinstance(error, _MOVES) or not self._movable:
                    raise
                following = self._workers.least(tried)
                if following is None or not self._workers.move():
                    raise
                worker = following

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            await self._call.__aexit__(kind, error, trace)
        except BaseException as raised:
            self._left(raised)
            raise
        self._left(error)

    def _left(self, error: BaseException | None) -> None:
        assert self._worker is not None
        self._worker.running -= 1
        if isinstance(error, _MOVES):
            self._worker.failed = time.monotonic()


class Pool:
    """One pool: its workers, what it serves, how fast it answers, and who may ask it now."""

    def __init__(self, spec: PoolSpec, workers: Workers, *, queue_tokens: int, metrics: Metrics) -> None:
        self.spec = spec
        self.workers = workers
        self.models: frozenset[str] = frozenset()
        self.released: dict[str, dict[str, float]] = {}
        self.pace = Pace()
        self.answered = float("-inf")
        """When it last gave a whole answer, by the monotonic clock."""
        self.gate = Gate(spec.name, Adaptive(spec.concurrency, spec.most), self.pace, queue_tokens=queue_tokens)
        metrics.gauge("slipway_pool_running", pool=spec.name).set_function(lambda: self.gate.running)
        metrics.gauge("slipway_pool_waiting", pool=spec.name).set_function(lambda: self.gate.waiting)
        metrics.gauge("slipway_pool_limit", pool=spec.name).set_function(lambda: self.gate.limit.limit)

    @property
    def name(self) -> str:
        """As it is set."""
        return self.spec.name

    def serves(self, model: str) -> bool:
        """Whether the pool lists `model`; a pool whose list nobody has seen yet is believed to."""
        return not self.models or model in self.models

    def learn(self, cards: Mapping[str, Mapping[str, float]]) -> None:
        """What the pool lists now: by model its release's measured figures, `ttft_ms@x86` and the like."""
        self.models = frozenset(cards)
        wanted = f"@{self.spec.device_class}" if self.spec.device_class else ""
        self.released = {
            model: {name.partition("@")[0]: value for name, value in figures.items() if wanted and name.endswith(wanted)}
            for model, figures in cards.items()
        }
