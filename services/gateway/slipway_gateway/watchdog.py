"""One request of the gateway's own, through every pool that nobody asks: forwarding must not stop silently while it is quiet.

It asks for one token, the way that a caller's request goes (connections, breaker, workers), and tells metrics and the log what came of it. A pool that answered
somebody lately has proved itself. It refuses to judge answers: a refusal of the request proves the way as well as an answer does.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import orjson
from slipway_shared import context, errors
from slipway_shared.metrics import Metrics

from slipway_gateway.catalog import Catalog
from slipway_gateway.pools import Pool
from slipway_gateway.upstream import AWAY

PATH = "/v1/chat/completions"
TENANT = "watchdog"
PATIENCE_SECONDS = 10.0


class Watchdog:
    """Proves each of `pools` every `seconds` (0: never)."""

    def __init__(self, pools: Sequence[Pool], catalog: Catalog, metrics: Metrics, log: Any, *, seconds: float) -> None:
        self._pools = pools
        self._catalog = catalog
        self._log = log
        self._seconds = seconds
        self._proved = {pool.name: metrics.gauge("slipway_pool_proved", pool=pool.name) for pool in pools}
        self._failing = set[str]()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """From now on."""
        if self._seconds and self._pools:
            self._task = asyncio.create_task(self._run())

    async def aclose(self) -> None:
        """No longer."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            await asyncio.gather(*(self.look(pool) for pool in self._pools))
            await asyncio.sleep(self._seconds)

    async def look(self, pool: Pool) -> None:
        """Proves `pool`, unless an answer of the last interval did."""
        reason = None if time.monotonic() - pool.answered < self._seconds else await self._asked(pool)
        self._proved[pool.name].set(reason is None)
        if reason is not None and pool.name not in self._failing:
            self._failing.add(pool.name)
            self._log.error("pool_not_reached", pool=pool.name, reason=reason)
        elif reason is None and pool.name in self._failing:
            self._failing.discard(pool.name)
            self._log.info("pool_reached_again", pool=pool.name)

    async def _asked(self, pool: Pool) -> str | None:
        """Why `pool` cannot be asked; None when it can."""
        mine = context.from_headers({}, trusted=False)._replace(tenant=TENANT).with_deadline(PATIENCE_SECONDS)
        try:
            known = {card.id for card in await self._catalog.cards(mine)}
            model = min(known & pool.models, default="none")
            body = {"model": model, "messages": [{"role": "user", "content": "."}], "max_tokens": 1, "priority": 100}
            await pool.workers.post(PATH, orjson.dumps(body), mine, seconds=PATIENCE_SECONDS)
        except AWAY as error:
            return error.code or type(error).__name__
        except errors.SlipwayError:
            pass
        return None
