"""Bars for the steps of data work: one per source and step on a terminal, one line when a step is done elsewhere.

It knows rich and units. It refuses to know what is counted.
"""

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class Stopped(Exception):
    """A signal came; what is finished is on disk, and the same words go on from there."""


class Bars:
    """A context manager; each `step` is a bar inside it."""

    def __init__(self, console: Console, stopped: Callable[[], bool] | None = None) -> None:
        """`console` decides the form. When `stopped` says so, the next advance of a step raises Stopped."""
        self._console = console
        self._stopped = stopped
        self._bars = Progress(
            TextColumn("[bold]{task.description}[/]"), BarColumn(), TextColumn("{task.percentage:>4.0f}%"), TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(), TextColumn("ETA"), TimeRemainingColumn(), console=console, disable=not console.is_terminal,
        )  # fmt: skip

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._bars.stop()

    @contextmanager
    def step(self, name: str, total: float, unit: str, *, whole: bool = False) -> Generator[Callable[[int], None]]:
        """A bar of `total` `unit`s; what it yields is called with how many more are done. `total` may be an estimate.

        A `whole` step is not stopped in between: inside a library that calls back, an exception would be taken for its own failure.
        """
        task = self._bars.add_task(name, total=total or None, rate="")
        started, done = time.perf_counter(), 0

        def advance(more: int) -> None:
            nonlocal done
            if not whole and self._stopped and self._stopped():
                raise Stopped
            done += more
            self._bars.update(task, completed=done, rate=self._rate(done, started, unit))

        yield advance
        self._bars.update(task, total=max(1, done), completed=max(1, done))
        if not self._console.is_terminal:
            self._console.print(f"{name}: {done:,} {unit}, {self._rate(done, started, unit)}", highlight=False)

    def _rate(self, done: int, started: float, unit: str) -> str:
        return f"{done / max(1e-6, time.perf_counter() - started):,.0f} {unit}/s"
