"""Pools of generators: which there are, their workers, and how a call finds the least loaded one.

It knows addresses, device classes, costs and which worker failed. It refuses to know requests and to choose between pools.
"""

import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Protocol

import aiohttp
from pydantic import BaseModel, ConfigDict, Field, field_validator
from slipway_shared import errors
from slipway_shared.context import RequestContext
from slipway_shared.metrics import Metrics

from slipway_gateway.admission import Gate
from slipway_gateway.breaker import RetryBudget
from slipway_gateway.concurrency import Adaptive
from slipway_gateway.pace import Pace
from slipway_gateway.upstream import Body, Bounds, Session, Upstream

AVOIDED_SECONDS = 5.0
"""A worker whose call failed is asked last for this long, so that callers do not spend the budget of retries on it before its breaker opens."""

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

    @asynccontextmanager
    async def open(
        self,
        method: str,
        path: str,
        body: Body,
        context: RequestContext,
        *,
        seconds: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> AsyncGenerator[aiohttp.ClientResponse]:
        """As Upstream's, by the worker with the fewest calls."""
        self._again.call()
        worker, tried = self._least(set()), set[int]()
        while True:
            begun = False
            worker.running += 1
            try:
                async with worker.upstream.open(method, path, body, context, seconds=seconds, headers=headers) as response:
                    begun = True
                    yield response
                return
            except (errors.UpstreamFailed, errors.Overloaded, errors.RateLimited):
                tried.add(id(worker))
                worker.failed = time.monotonic()
                # Bytes that were read from a stream cannot be sent again; a caller's own deadline is nobody's fault.
                movable = not begun and (body is None or isinstance(body, bytes)) and len(tried) < len(self._workers)
                if not movable or not self._again.spend():
                    raise
                self._moved.inc()
            finally:
                worker.running -= 1
            worker = self._least(tried)

    def _least(self, tried: set[int]) -> _Worker:
        left = [worker for worker in self._workers if id(worker) not in tried]
        lately = time.monotonic() - AVOIDED_SECONDS
        return min(left, key=lambda worker: (worker.upstream.failing, worker.failed > lately, worker.running))


class Pool:
    """One pool: its workers, what it serves, how fast it answers, and who may ask it now."""

    def __init__(self, spec: PoolSpec, workers: Workers, *, queue_tokens: int, metrics: Metrics) -> None:
        self.spec = spec
        self.workers = workers
        self.models: frozenset[str] = frozenset()
        self.released: dict[str, dict[str, float]] = {}
        self.pace = Pace()
        self.gate = Gate(spec.name, Adaptive(spec.concurrency, spec.most), self.pace, queue_tokens=queue_tokens)
        self._gauges = (
            metrics.gauge("slipway_pool_running", pool=spec.name), metrics.gauge("slipway_pool_waiting", pool=spec.name),
            metrics.gauge("slipway_pool_limit", pool=spec.name),
        )  # fmt: skip

    @property
    def name(self) -> str:
        """As it is set."""
        return self.spec.name

    def show(self) -> None:
        """Bring the gauges up to date."""
        for gauge, value in zip(self._gauges, (self.gate.running, self.gate.waiting, self.gate.limit.limit), strict=True):
            gauge.set(value)

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
