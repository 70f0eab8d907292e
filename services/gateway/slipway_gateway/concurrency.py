"""How many requests a pool may run at once, found by its own answers.

Additive increase, multiplicative decrease (Chiu and Jain 1989; Netflix's concurrency-limits, AIMDLimit): a pool that says that it is overloaded loses a tenth
of its limit, one that answers well while it is busy gains a little. It refuses to know requests.
"""

BACKOFF = 0.9
LEAST = 1


class Adaptive:
    """The limit of one pool, between 1 and `most`."""

    def __init__(self, start: int, most: int) -> None:
        self._value = float(min(start, most))
        self._most = most

    @property
    def limit(self) -> int:
        """Requests at once, now."""
        return int(self._value)

    def succeeded(self, running: int) -> None:
        """An answer came whole while `running` ran. A limit that is not used says nothing, so it grows only where half of it is."""
        if running * 2 >= self._value:
            self._value = min(self._most, self._value + 1.0 / self._value)

    def overloaded(self) -> None:
        """The pool refused for load, fell silent, or could not be reached."""
        self._value = max(LEAST, self._value * BACKOFF)
