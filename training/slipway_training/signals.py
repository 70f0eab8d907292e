"""SIGTERM and SIGINT as a question that a loop asks after each step. It refuses to end a process."""

import signal
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def stop_on_signal() -> Generator[Callable[[], bool]]:
    """Within it both signals finish the running step instead of ending the process; the yielded function says whether one came."""
    seen: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        seen.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield lambda: bool(seen)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
