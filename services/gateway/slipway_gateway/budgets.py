"""What share of each budget is used, told to whoever watches: `slipway_budget_used_ratio`, which the rules in deploy/prometheus judge.

It counts what was paid. What running requests have reserved is left out, or one large request would raise an alarm about money that it never spends. It reads
the store and not what passed through this process, so that every gateway tells the same, also after a restart. It refuses to know thresholds.
"""

import asyncio
from typing import Any, NamedTuple

from slipway_shared import errors
from slipway_shared.metrics import Metrics

from slipway_gateway.buckets import Scope, month_of
from slipway_gateway.keys import Key, KeyStore
from slipway_gateway.limiter import Limiter, scopes_of

METRIC = "slipway_budget_used_ratio"


class Named(NamedTuple):
    """A budget's labels. `key` is empty for the budget that all keys of `tenant` share."""

    tenant: str
    key: str


class Budgets:
    """Brings the gauges up to date every `seconds` (0: never)."""

    def __init__(self, store: KeyStore | None, limiter: Limiter, metrics: Metrics, log: Any, *, seconds: float) -> None:
        self._store = store
        self._limiter = limiter
        self._metrics = metrics
        self._log = log
        self._seconds = seconds
        self._told: set[Named] = set()
        self._month = ""
        self._away = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """From now on."""
        if self._seconds and self._store is not None:
            self._task = asyncio.create_task(self._run(self._store))

    async def aclose(self) -> None:
        """No longer."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self, store: KeyStore) -> None:
        while True:
            await self.look(store)
            await asyncio.sleep(self._seconds)

    async def look(self, store: KeyStore) -> None:
        """Tells every budget's share. While the store is away, what was told stays until the month ends: money that was spent stays spent."""
        now = self._limiter.clock()
        try:
            budgets = budgets_of(await store.all(), now)
            used = await self._limiter.used(list(budgets.values()))
        except errors.UpstreamFailed as error:
            if not self._away:
                self._log.warning("budgets_unknown", reason=str(error))
            self._away = True
            if self._month != month_of(now):
                self._tell({})
            return
        self._away, self._month = False, month_of(now)
        self._tell({named: paid / scope.numbers[3] for (named, scope), paid in zip(budgets.items(), used, strict=True)})

    def _tell(self, shares: dict[Named, float]) -> None:
        for named in self._told - shares.keys():
            self._metrics.drop(METRIC, **named._asdict())
        for named, share in shares.items():
            self._metrics.gauge(METRIC, **named._asdict()).set(share)
        self._told = set(shares)


def budgets_of(keys: list[Key], now: float) -> dict[Named, Scope]:
    """Every budget that may refuse something at `now` (Unix seconds). Where keys of one tenant disagree about its budget, the smallest refuses first."""
    out: dict[Named, Scope] = {}
    for key in keys:
        if key.expires is not None and key.expires <= now:
            continue
        for scope in scopes_of(key):
            named = Named(key.tenant, key.id if scope.name.startswith("key:") else "")
            if scope.numbers[3] and (named not in out or scope.numbers[3] < out[named].numbers[3]):
                out[named] = scope
    return out
