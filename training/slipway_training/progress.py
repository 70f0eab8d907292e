"""How a run is shown: a bar with tokens/s, loss and ETA on a terminal, one line now and then in a log file.

It knows rich. It refuses to know what is trained.
"""

from collections import deque
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from slipway_training.loop import Step

LOG_EVERY = 20


class RunProgress:
    """A context manager whose `step` is the loop's callback."""

    def __init__(self, console: Console) -> None:
        """`console` decides the form: bar on a terminal, lines elsewhere."""
        self._console = console
        self._recent: deque[Step] = deque(maxlen=LOG_EVERY)
        self._task: TaskID | None = None
        self._bar = Progress(
            TextColumn("[bold]train[/]"), BarColumn(), TextColumn("{task.percentage:>4.1f}%"), TimeElapsedColumn(), TextColumn("ETA"),
            TimeRemainingColumn(), TextColumn("{task.fields[say]}"), console=console, disable=not console.is_terminal,
        )  # fmt: skip

    def __enter__(self) -> Self:
        self._bar.start()
        self._task = self._bar.add_task("train", total=1.0, say="")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._bar.stop()

    def step(self, step: Step) -> None:
        """Show one optimizer step."""
        self._recent.append(step)
        if self._task is not None and self._console.is_terminal:
            self._bar.update(self._task, completed=step.progress, say=self._say())
        elif step.index % LOG_EVERY == 0:
            self._console.print(f"step {step.index}/{step.steps} {step.progress:6.1%} {self._say()}", highlight=False)

    def _say(self) -> str:
        last, first, count = self._recent[-1], self._recent[0], len(self._recent)
        spent = last.seconds - first.seconds
        rate = (last.tokens - first.tokens) / spent if spent > 0 else 0.0
        loss, right = sum(s.loss for s in self._recent) / count, sum(s.right for s in self._recent) / count
        return (
            f"stage {last.stage + 1} {last.tokens / 1e6:.2f}M tok {rate:,.0f} tok/s loss {loss:.3f} "
            f"right {right:.1%} lr {last.learning_rate:.1e} |g| {last.grad_norm:.2f}"
        )
