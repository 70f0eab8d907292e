"""From start through ready to draining: what `/readyz` answers. It refuses to know what a service waits for, beyond its name."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from slipway_shared.metrics import Metrics


@dataclass
class Lifecycle:
    """Whether the process can serve now. `waiting_for` names what is missing before it is ready; empty means ready."""

    metrics: Metrics
    waiting_for: str = "start"
    draining: bool = False
    probes: list[Callable[[], str | None]] = field(default_factory=list)

    def ready(self) -> None:
        """The service has warmed up."""
        self.waiting_for = ""
        self.metrics.gauge("slipway_ready").set(1)
        self.metrics.gauge("slipway_start_seconds").set(time.monotonic() - self.metrics.started)

    def drain(self) -> None:
        """Readiness off, for good; running requests go on."""
        self.draining = True
        self.metrics.gauge("slipway_ready").set(0)

    def problem(self) -> str | None:
        """Why the service cannot serve, or None."""
        if self.draining:
            return "draining"
        return self.waiting_for or next((p for probe in self.probes if (p := probe())), None)
