"""When not to call a part at all, and how often a call may be tried again.

It knows counts and a monotonic clock. It refuses to know HTTP: its caller says whether a call failed, was fine, or was given up by our own caller.
The state machine is pybreaker's; admission is ours, because pybreaker counts nothing for calls that overlap and measures by the wall clock.
"""

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass

from slipway_shared import errors
from slipway_shared.lean import without

with without("redis"):  # only its storage would use it, which is not ours
    import pybreaker

Clock = Callable[[], float]


@dataclass(eq=False, slots=True)
class Pass:
    """Leave to call once; `probe` marks the one call that decides whether the breaker closes."""

    probe: bool


class Breaker:
    """Opens after `failures` in a row, lets one probe through after `open_seconds`, and closes when the probe is fine."""

    def __init__(self, name: str, *, failures: int, open_seconds: float, clock: Clock = time.monotonic) -> None:
        self._name = name
        self._open_seconds = open_seconds
        self._clock = clock
        self._opened = 0.0
        self._probing: Pass | None = None
        self.is_open = False
        """Whether calls are refused now, apart from a probe: what the machine says, kept at hand for every call."""
        self._machine = pybreaker.CircuitBreaker(fail_max=failures, reset_timeout=open_seconds, throw_new_error_on_trip=False)

    @property
    def refusing(self) -> bool:
        """Whether `enter` would refuse now."""
        return self.is_open and (self._opened + self._open_seconds > self._clock() or self._probing is not None)

    def enter(self) -> Pass:
        """Leave to call; raises UpstreamFailed with the time to wait while there is none. Every Pass must be given to `leave` once."""
        if not self.is_open:
            return Pass(probe=False)
        wait = self._opened + self._open_seconds - self._clock()
        if wait > 0 or self._probing is not None:
            raise errors.UpstreamFailed(
                f"The {self._name} is failing and is not asked now.", code="breaker_open", retry_after_seconds=max(wait, 1.0)
            )
        if self._machine.current_state == pybreaker.STATE_OPEN:
            self._machine.half_open()
        self._probing = Pass(probe=True)
        return self._probing

    def leave(self, given: Pass, *, failed: bool | None) -> None:
        """How the call ended; None when it was given up by our own caller, which says nothing about the part."""
        if given.probe:
            self._probing = None
        if failed is None or (self.is_open and not given.probe):
            return  # a late answer to a call from before the breaker opened decides nothing
        if failed:
            with contextlib.suppress(_Failed):
                self._machine.call(_fail)
            self.is_open = self._machine.current_state != pybreaker.STATE_CLOSED
            if self.is_open:
                self._opened = self._clock()
        elif given.probe or self._machine.fail_counter:
            self._machine.call(_succeed)
            self.is_open = self._machine.current_state != pybreaker.STATE_CLOSED


class RetryBudget:
    """At most one retry for ten calls, over any time: `amplification` of 0.1, with a small reserve for quiet times."""

    def __init__(self, *, amplification: float = 0.1, reserve: float = 3.0) -> None:
        self._amplification = amplification
        self._reserve = reserve
        self._saved = reserve

    def call(self) -> None:
        """A first try was made."""
        self._saved = min(self._reserve, self._saved + self._amplification)

    def spend(self) -> bool:
        """Whether a retry may be made; takes it from the budget."""
        if self._saved < 1.0:
            return False
        self._saved -= 1.0
        return True


class _Failed(Exception):
    pass


def _fail() -> None:
    raise _Failed


def _succeed() -> None:
    return None
