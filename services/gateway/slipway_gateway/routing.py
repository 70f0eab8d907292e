"""Which pool answers a request: by the model's flavor, by device class, else the cheapest that meets the request's own objectives.

It knows headers, predictions and the order of fallbacks. It refuses to ask anybody.
"""

import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from prometheus_client import Counter
from slipway_shared import errors
from slipway_shared.context import DEVICE_CLASS, RequestContext
from slipway_shared.metrics import Metrics

from slipway_gateway.admission import Load
from slipway_gateway.pace import Prediction
from slipway_gateway.pools import Pool, Workers

TTFT, TPOT, POOL = "x-slo-ttft-ms", "x-slo-tpot-ms", "x-slipway-pool"
DEVICES = ("gpu", "x86", "arm", "mobile")
MOST_MS = 3_600_000.0


class Wishes(NamedTuple):
    """What a request says about how it wants to be answered."""

    device_class: str | None = None
    ttft_ms: float | None = None
    tpot_ms: float | None = None

    @property
    def bound(self) -> bool:
        """Whether there are objectives."""
        return self.ttft_ms is not None or self.tpot_ms is not None


def wishes(headers: Mapping[str, str]) -> Wishes:
    """The wishes in a request's headers; raises BadRequest."""
    device = headers.get(DEVICE_CLASS)
    if device is not None and device not in DEVICES:
        raise errors.BadRequest(f"{DEVICE_CLASS} is one of {', '.join(DEVICES)}.", param=DEVICE_CLASS)
    return Wishes(device, _milliseconds(headers, TTFT), _milliseconds(headers, TPOT))


class Permit:
    """Leave to ask pools for one request: the chosen one now, and those that may take its place. `close` gives it back, once."""

    def __init__(self, load: Load, pool: Pool, others: Sequence[Pool], fallbacks: Counter) -> None:
        self.pool = pool
        self.fell_back = False
        self._fallbacks = fallbacks
        self._load = load
        self._others = list(others)
        self._open = True
        self._sent = self._first = 0.0

    @property
    def workers(self) -> Workers:
        """Whom to ask."""
        return self.pool.workers

    def headers(self) -> dict[str, str]:
        """Which pool answers, and whether it is the one that was chosen first."""
        return {POOL: self.pool.name, **({"x-slipway-fallback": "higher-tier"} if self.fell_back else {})}

    def sent(self) -> None:
        """The pool is asked now."""
        self._sent, self._first = time.monotonic(), 0.0

    def first(self) -> None:
        """Its answer begins."""
        if not self._first:
            self._first = time.monotonic()
            self.pool.pace.first_token(self._load.prompt, self._first - self._sent)

    def finished(self, tokens: int) -> None:
        """Its answer is whole, of `tokens`."""
        gate, now = self.pool.gate, time.monotonic()
        self.pool.answered = now
        gate.limit.succeeded(gate.running)
        if self._first:
            self.pool.pace.finished(tokens - 1, now - self._first, gate.running)

    def failed(self, error: errors.SlipwayError) -> bool:
        """The pool could not answer; True when another one takes its place, and is to be asked now. A caller's own deadline is no pool's fault."""
        if not isinstance(error, errors.DeadlineExceeded):
            self.pool.gate.limit.overloaded()
        while self._others and not self._first:
            other = self._others.pop(0)
            if other.gate.free and not other.workers.down:
                self._give_back()
                self.pool, self.fell_back = other, True
                other.gate.begin(self._load)
                self._fallbacks.inc()
                return True
        return False

    def close(self) -> None:
        """Room for the next."""
        if self._open:
            self._open = False
            self._give_back()

    def _give_back(self) -> None:
        self.pool.gate.leave(self._load)


class Router:
    """Chooses among `pools`. `fallbacks` gives by model (or `*`) the steps after a pool that failed: `higher-tier`, `extract`, or none."""

    def __init__(self, pools: Sequence[Pool], fallbacks: Mapping[str, Sequence[str]], metrics: Metrics) -> None:
        self.pools = list(pools)
        self._fallbacks = fallbacks
        self._refused = metrics.counter("slipway_refused", reason="objective")
        self._moved = metrics.counter("slipway_fallbacks", to="higher-tier")
        self._queued = metrics.counter("slipway_refused", reason="queue")

    def steps(self, model: str) -> Sequence[str]:
        """The fallback steps of `model`, of its plain name, or of everything."""
        for name in (model, model.partition(":")[0], "*"):
            if name in self._fallbacks:
                return self._fallbacks[name]
        return ("higher-tier", "extract")

    async def admit(self, model: str, load: Load, wanted: Wishes, context: RequestContext) -> Permit:
        """A permit for the pool that fits best, as soon as it is this request's turn; raises what says why there is none, at once."""
        fitting = [pool for pool in self.pools if pool.serves(model)]
        if wanted.device_class is not None and len(self.pools) > 1:
            # One pool behind a router that knows device classes itself gets the header and decides.
            fitting = [pool for pool in fitting if pool.spec.device_class in (None, wanted.device_class)]
        if not fitting:
            raise errors.NotFound(
                f"No pool of device class {wanted.device_class} serves the model.", param=DEVICE_CLASS, code="device_class_unavailable"
            )
        alive = [pool for pool in fitting if not pool.workers.down] or fitting
        chosen = self._meeting(model, load, wanted, alive)
        try:
            await chosen.gate.enter(load, context.remaining_seconds)
        except errors.SlipwayError:
            self._queued.inc()
            raise
        higher = [pool for pool in alive if pool.spec.tier > chosen.spec.tier] if "higher-tier" in self.steps(model) else []
        return Permit(load, chosen, sorted(higher, key=lambda pool: (pool.spec.tier, pool.spec.cost)), self._moved)

    def _meeting(self, model: str, load: Load, wanted: Wishes, pools: list[Pool]) -> Pool:
        """The cheapest pool that meets the objectives; without objectives the cheapest that is free, else the one of the shortest wait."""
        if len(pools) == 1 and not wanted.bound:
            return pools[0]
        if not wanted.bound:
            free = [pool for pool in pools if pool.gate.free]
            return min(free or pools, key=lambda pool: (0.0 if free else pool.gate.wait_seconds(load), pool.spec.cost))
        predicted = {pool: self._predicted(model, load, pool) for pool in pools}
        good = [pool for pool, seen in predicted.items() if _meets(seen, wanted)]
        if good:
            return min(good, key=lambda pool: (pool.spec.cost, pool.gate.wait_seconds(load)))
        self._refused.inc()
        said = "; ".join(f"{pool.name}: {_told(seen)}" for pool, seen in predicted.items())
        asked = _told(Prediction(wanted.ttft_ms, wanted.tpot_ms))
        wait = min(pool.gate.wait_seconds(load) for pool in pools)
        raise errors.Overloaded(
            f"No pool can meet the objectives ({asked}) now. Predicted: {said}.", code="slo_unattainable",
            retry_after_seconds=min(30.0, max(1.0, wait)),
        )  # fmt: skip

    @staticmethod
    def _predicted(model: str, load: Load, pool: Pool) -> Prediction:
        seen = pool.pace.predict(load.prompt, pool.released.get(model, {}))
        wait = pool.gate.wait_seconds(load) * 1e3
        return Prediction(None if seen.ttft_ms is None else seen.ttft_ms + wait, seen.tpot_ms)


def _meets(seen: Prediction, wanted: Wishes) -> bool:
    """A pool that nobody has measured is given the chance."""
    pairs = ((seen.ttft_ms, wanted.ttft_ms), (seen.tpot_ms, wanted.tpot_ms))
    return all(value is None or bound is None or value <= bound for value, bound in pairs)


def _told(seen: Prediction) -> str:
    parts = [f"{name} {value:.0f} ms" for name, value in (("TTFT", seen.ttft_ms), ("TPOT", seen.tpot_ms)) if value is not None]
    return ", ".join(parts) or "not measured yet"


def _milliseconds(headers: Mapping[str, str], name: str) -> float | None:
    raw = headers.get(name)
    if raw is None:
        return None
    try:
        value = float(raw) if len(raw) <= 16 else float("nan")
    except ValueError:
        value = float("nan")
    if not 0 < value <= MOST_MS:
        raise errors.BadRequest(f"{name} is a number of milliseconds above 0 and up to {MOST_MS:.0f}.", param=name)
    return value
