"""How a pretraining run is shown: a bar with loss, tokens/s, MFU and ETA on a terminal, a line now and then in a log file. It refuses to know training."""

from collections import deque
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from slipway_training.pretrain.loop import Step

EVERY = 20


class RunProgress:
    """A context manager whose `step` is the loop's callback."""

    def __init__(self, console: Console, tokens: int, share_of_peak_per_rate: float) -> None:
        """`share_of_peak_per_rate`: multiplied by tokens/s it gives the MFU."""
        self._console, self._tokens, self._mfu = console, tokens, share_of_peak_per_rate
        self._recent: deque[Step] = deque(maxlen=EVERY)
        self._task: TaskID | None = None
        self._bar = Progress(
            TextColumn("[bold]pretrain[/]"), BarColumn(), TextColumn("{task.percentage:>4.1f}%"), TimeElapsedColumn(), TextColumn("ETA"),
            TimeRemainingColumn(), TextColumn("{task.fields[say]}"), console=console, disable=not console.is_terminal,
        )  # fmt: skip

    def __enter__(self) -> Self:
        self._bar.start()
        self._task = self._bar.add_task("pretrain", total=1.0, say="")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._bar.stop()

    def step(self, step: Step) -> None:
        """Show one optimizer step; what went wrong is printed as it happens."""
        self._recent.append(step)
        if step.note:
            self._console.print(f"[yellow]step {step.step}:[/] {step.note}", highlight=False)
        if self._task is not None and self._console.is_terminal:
            self._bar.update(self._task, completed=step.progress, say=self._say(step))
        elif step.step % EVERY == 0:
            self._console.print(f"step {step.step} {step.progress:6.1%} {self._say(step)}, {self._eta(step)}", highlight=False)

    def _say(self, step: Step) -> str:
        rates = sorted(s.tokens_per_second for s in self._recent)
        rate = rates[len(rates) // 2]
        loss = sum(s.loss for s in self._recent) / len(self._recent)
        held = f" held-out {step.held_out:.3f}" if step.held_out is not None else ""
        noise = f" noise {step.noise:,.0f}" if step.noise is not None else ""
        return f"{step.tokens / 1e6:.2f}M tok {rate:,.0f} tok/s MFU {rate * self._mfu:.0%} loss {loss:.3f}{held} lr {step.lr:.1e} |g| {step.grad_norm:.2f}{noise}"

    def _eta(self, step: Step) -> str:
        return f"{step.seconds / max(step.progress, 1e-9) * (1 - step.progress) / 60:.1f} min left"
