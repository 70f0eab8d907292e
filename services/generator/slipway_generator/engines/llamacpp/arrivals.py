"""Where requests wait for the decode thread to look up, and how it sleeps until one comes. It refuses to know slots, memory and steps."""

import threading
import time
from collections.abc import Callable

from slipway_generator.engines.llamacpp.seat import Seated

GATHER_SECONDS, MOST_GATHER_SECONDS = 0.001, 0.004
"""How long an idle engine waits for another arrival, and how long at most: a server takes half a millisecond to read a request."""


class Arrivals:
    """`put`, `wake` and `close` may be called by any thread, `collect` by the decode thread alone."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._new: list[Seated] = []
        self.closing = False

    def __len__(self) -> int:
        return len(self._new)

    def put(self, sequence: Seated, check: Callable[[], None]) -> None:
        """Leave a sequence, unless `check` raises; nobody else comes in between."""
        with self._changed:
            check()
            self._new.append(sequence)
            self._changed.notify()

    def wake(self) -> None:
        """Let the decode thread look."""
        with self._changed:
            self._changed.notify()

    def close(self) -> None:
        """Nobody is collected any more."""
        self.closing = True
        self.wake()

    def collect(self, busy: Callable[[], bool], together: int) -> list[Seated]:
        """Who has come. Sleeps while nobody has and the engine is not `busy`; an engine that was idle gives others, up to `together`, a moment to join."""
        with self._changed:
            idle = not busy()
            while not self.closing and not self._new and not busy():
                self._changed.wait()
            if idle:
                self._gather(together)
            came, self._new = self._new, []
            return came

    def _gather(self, together: int) -> None:
        """Those that arrive together share the first step, instead of waiting for the step of the first of them."""
        latest, before = time.monotonic() + MOST_GATHER_SECONDS, 0
        while before < len(self._new) < together and time.monotonic() < latest and not self.closing:
            before = len(self._new)
            self._changed.wait(GATHER_SECONDS)
