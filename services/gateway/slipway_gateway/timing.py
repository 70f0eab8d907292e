"""Where a request's time went, stage by stage. It knows names and milliseconds, and refuses to know what a stage does."""

import time
from types import TracebackType

from slipway_shared.metrics import Metrics

STAGES = ("queue", "safety", "retrieve", "rerank", "ttft")


class Stages:
    """One request's stopwatch; `started` is on `time.monotonic()`'s clock."""

    def __init__(self, metrics: Metrics, started: float) -> None:
        self._metrics = metrics
        self._started = started
        self._seconds: dict[str, float] = {}

    def stage(self, name: str) -> "Stage":
        """Times the block, also when it fails; a stage entered twice adds up."""
        return Stage(self, name)

    def took(self, name: str, seconds: float) -> None:
        """Adds `seconds` to a stage."""
        self._seconds[name] = self._seconds.get(name, 0.0) + seconds
        self._metrics.histogram("slipway_stage_seconds", stage=name).observe(seconds)

    def mark(self, name: str) -> float:
        """Notes, once, the seconds from the request's start to now under `name`, and returns them."""
        return self._seconds.setdefault(name, time.monotonic() - self._started)

    def header(self) -> str:
        """What is known by now, in milliseconds: `queue=0.1;safety=2.0;ttft=31.4`. `ttft` counts from the door, the others are durations."""
        known = self._seconds
        return ";".join([f"{name}={known[name] * 1000:.1f}" for name in STAGES if name in known])  # a list is half a generator's time

    def summary(self) -> str:
        """`header` and the total, for the comment that ends a stream."""
        return f"{self.header()};total={(time.monotonic() - self._started) * 1000:.1f}".lstrip(";")


class Stage:
    """A block that one stage takes."""

    __slots__ = ("_begun", "_name", "_stages")

    def __init__(self, stages: Stages, name: str) -> None:
        self._stages, self._name = stages, name

    def __enter__(self) -> None:
        self._begun = time.monotonic()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stages.took(self._name, time.monotonic() - self._begun)
