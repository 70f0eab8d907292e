"""Where a request's time went, stage by stage. It knows names and milliseconds, and refuses to know what a stage does."""

import time
from collections.abc import Generator
from contextlib import contextmanager

from slipway_shared.metrics import Metrics

STAGES = ("queue", "safety", "retrieve", "rerank", "ttft")


class Stages:
    """One request's stopwatch; `started` is on `time.monotonic()`'s clock."""

    def __init__(self, metrics: Metrics, started: float) -> None:
        self._metrics = metrics
        self._started = started
        self._seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Generator[None]:
        """Times the block, also when it fails; a stage entered twice adds up."""
        begun = time.monotonic()
        try:
            yield
        finally:
            seconds = time.monotonic() - begun
            self._seconds[name] = self._seconds.get(name, 0.0) + seconds
            self._metrics.histogram("slipway_stage_seconds", stage=name).observe(seconds)

    def mark(self, name: str) -> float:
        """Notes, once, the seconds from the request's start to now under `name`, and returns them."""
        return self._seconds.setdefault(name, time.monotonic() - self._started)

    def header(self) -> str:
        """What is known by now, in milliseconds: `queue=0.1;safety=2.0;ttft=31.4`. `ttft` counts from the door, the others are durations."""
        return ";".join(f"{name}={self._seconds[name] * 1000:.1f}" for name in STAGES if name in self._seconds)

    def summary(self) -> str:
        """`header` and the total, for the comment that ends a stream."""
        return f"{self.header()};total={(time.monotonic() - self._started) * 1000:.1f}".lstrip(";")
