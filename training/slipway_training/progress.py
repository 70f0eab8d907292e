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


class RunBar:
    """A context manager; every recipe with a loop shows its steps by it."""

    def __init__(self, console: Console, what: str) -> None:
        """`console` decides the form: bar on a terminal, lines elsewhere."""
        self._console, self._what = console, what
        self._task: TaskID | None = None
        self._bar = Progress(
            TextColumn(f"[bold]{what}[/]"), BarColumn(), TextColumn("{task.percentage:>4.1f}%"), TimeElapsedColumn(), TextColumn("ETA"),
            TimeRemainingColumn(), TextColumn("{task.fields[say]}"), console=console, disable=not console.is_terminal,
        )  # fmt: skip

    def __enter__(self) -> Self:
        self._bar.start()
        self._task = self._bar.add_task(self._what, total=1.0, say="")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._bar.stop()

    def note(self, step: int, what: str) -> None:
        """Something that went wrong, said as it happens."""
        self._console.print(f"[yellow]step {step}:[/] {what}", highlight=False)

    def show(self, step: int, share: float, say: str, left_seconds: float) -> None:
        """One step: `share` of the run is done, `left_seconds` are expected until its end (a terminal's bar tells its own)."""
        if self._console.is_terminal and self._task is not None:
            self._bar.update(self._task, completed=share, say=say)
        elif step % LOG_EVERY == 0:
            self._console.print(f"{self._what} step {step} {share:6.1%} {say}, {left_seconds / 60:.1f} min left", highlight=False)


class Rate:
    """Tokens per second over the last steps."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque(maxlen=LOG_EVERY)

    def after(self, seconds: float, tokens: int) -> float:
        """The rate, `tokens` in all having been read after `seconds`; 0 until there are two steps."""
        self._seen.append((seconds, tokens))
        (begun, few), (now, many) = self._seen[0], self._seen[-1]
        return (many - few) / (now - begun) if now > begun else 0.0


class RunProgress:
    """A context manager whose `step` is the reader loop's callback."""

    def __init__(self, console: Console) -> None:
        self._recent: deque[Step] = deque(maxlen=LOG_EVERY)
        self._bar, self._rate = RunBar(console, "train"), Rate()

    def __enter__(self) -> Self:
        self._bar.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._bar.__exit__(kind, error, trace)

    def step(self, step: Step) -> None:
        """Show one optimizer step."""
        self._recent.append(step)
        left = step.seconds / max(step.progress, 1e-9) * (1 - step.progress)
        self._bar.show(step.index, step.progress, self._say(), left)

    def _say(self) -> str:
        last, count = self._recent[-1], len(self._recent)
        loss, right = sum(s.loss for s in self._recent) / count, sum(s.right for s in self._recent) / count
        return (
            f"stage {last.stage + 1} {last.tokens / 1e6:.2f}M tok {self._rate.after(last.seconds, last.tokens):,.0f} tok/s loss {loss:.3f} "
            f"right {right:.1%} lr {last.learning_rate:.1e} |g| {last.grad_norm:.2f}"
        )
