"""Takes batches from the store and runs them, a few at once, for as long as the process lives.

It knows leases: a batch whose process died is taken over by another (or by the same one, started again) when its lease has run out, and goes on where
the store says. It refuses to know the states of a batch.
"""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncGenerator

from slipway_shared import errors, logs
from slipway_shared.metrics import Metrics
from slipway_shared.middleware import ASGIApp

from slipway_gateway.batches import inside
from slipway_gateway.batches.files import BatchFiles
from slipway_gateway.batches.lines import Bounds
from slipway_gateway.batches.record import Batch
from slipway_gateway.batches.store import BatchStore
from slipway_gateway.batches.work import Lost, Tools, Work
from slipway_gateway.keys import KeyRing
from slipway_gateway.traffic import Traffic

AT_ONCE = 4
"""Batches that one process runs side by side, so that a long one does not hold up the others; their lines share one bound."""
_POLL_SECONDS = 1.0
_AGAIN_SECONDS = 2.0
"""When a part that a batch needs is away."""


class Runner:
    """Runs batches with `concurrency` lines at once, `patience_seconds` after a caller came at the latest. `app` answers the lines."""

    def __init__(
        self,
        store: BatchStore,
        files: BatchFiles,
        keys: KeyRing,
        traffic: Traffic,
        metrics: Metrics,
        *,
        bounds: Bounds,
        concurrency: int,
        lease_seconds: float,
        patience_seconds: float,
    ) -> None:
        self._store = store
        self._keys = keys
        self._traffic = traffic
        self._lease_seconds = lease_seconds
        self._patience_seconds = patience_seconds
        self._slots = asyncio.Semaphore(concurrency)
        self._tools = Tools(store, files, bounds, concurrency, self._ask, self._turn, metrics)
        self._running = metrics.gauge("slipway_batches_running")
        self._app: ASGIApp | None = None
        self._owner = secrets.token_hex(8)
        self._new = asyncio.Event()
        self._tasks: dict[str, tuple[Work, asyncio.Task[None]]] = {}
        self._loop: asyncio.Task[None] | None = None
        self._log = logs.get("gateway")

    def start(self, app: ASGIApp) -> None:
        """Begins to take batches."""
        self._app = app
        self._loop = asyncio.create_task(self._take())

    def wake(self, batch: Batch) -> None:
        """Something happened to `batch`: it is new, or shall be cancelled."""
        if batch.id in self._tasks:
            self._tasks[batch.id][0].seen(batch)
        self._new.set()

    async def aclose(self) -> None:
        """Stops; what was running can be taken over at once."""
        tasks = [self._loop] if self._loop is not None else []
        tasks += [task for _, task in self._tasks.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._store.aclose()

    async def _take(self) -> None:
        while True:
            self._new.clear()
            try:
                while len(self._tasks) < AT_ONCE and (batch := await self._store.claim(self._owner, self._lease_seconds)) is not None:
                    self._begin(batch)
            except errors.SlipwayError as error:
                self._log.warning("batches_unreadable", error=error.message)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_POLL_SECONDS):
                    await self._new.wait()

    def _begin(self, batch: Batch) -> None:
        work = Work(batch, self._owner, self._tools)
        task = asyncio.create_task(self._run(work))
        self._tasks[batch.id] = (work, task)
        self._running.set(len(self._tasks))

    async def _run(self, work: Work) -> None:
        run = asyncio.create_task(work.run())
        lease = asyncio.create_task(self._hold(work))
        again = 0.0
        try:
            await asyncio.wait({run, lease}, return_when=asyncio.FIRST_COMPLETED)
            if run.done():
                run.result()
        except Lost:
            self._log.warning("batch_lost", batch=work.batch.id)
        except errors.SlipwayError as error:
            again = _AGAIN_SECONDS
            self._log.warning("batch_waits", batch=work.batch.id, error=error.message)
        except Exception as error:  # noqa: BLE001 -- the edge of a task that nobody awaits: one bad batch must not stop the others
            again = self._lease_seconds
            self._log.error("batch_broke", batch=work.batch.id, exc_info=error)
        finally:
            run.cancel()
            lease.cancel()
            await asyncio.gather(run, lease, return_exceptions=True)
            if not work.batch.over:
                with contextlib.suppress(errors.SlipwayError):
                    await self._store.release(work.batch, self._owner, again)
            self._tasks.pop(work.batch.id, None)
            self._running.set(len(self._tasks))
            self._new.set()

    async def _hold(self, work: Work) -> None:
        """Keeps the lease, and hears of a cancellation that another process was asked for. Returns when the lease is lost."""
        while True:
            await asyncio.sleep(min(self._lease_seconds / 3, _POLL_SECONDS))
            with contextlib.suppress(
                errors.SlipwayError
            ):  # while the store is away the lease may run out; results are kept once all the same
                batch = await self._store.renew(work.batch, self._owner, self._lease_seconds)
                if batch is None:
                    return
                work.seen(batch)

    async def _ask(self, key_digest: str, path: str, body: bytes, request_id: str) -> inside.Answer | None:
        key = await self._keys.known(key_digest)
        if key is None:
            return None
        assert self._app is not None
        return await inside.post(self._app, path, body, key, request_id)

    @contextlib.asynccontextmanager
    async def _turn(self) -> AsyncGenerator[None]:
        async with self._slots:
            await self._traffic.quiet(self._patience_seconds)
            yield
