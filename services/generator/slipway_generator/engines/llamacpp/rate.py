"""A speed of late. It refuses to know of what."""

FADE = 0.97
"""What a step still counts after the next one: the rate is that of about the last 33."""


class Rate:
    """Units a second, the latest steps counting most."""

    def __init__(self) -> None:
        self.steps = 0
        self._seconds = self._units = 0.0

    def add(self, seconds: float, units: int) -> None:
        """One more step."""
        self.steps += 1
        self._seconds = FADE * self._seconds + seconds
        self._units = FADE * self._units + units

    @property
    def value(self) -> float:
        """Units a second; 0 before the first step."""
        return self._units / self._seconds if self._seconds else 0.0
