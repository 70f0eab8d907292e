"""What a pretraining run says of a step: loss, tokens/s, MFU, held-out loss, noise scale. It refuses to know training, and how a step is shown."""

from collections import deque
from types import TracebackType
from typing import Self

from rich.console import Console

from slipway_training.pretrain.loop import Step
from slipway_training.progress import LOG_EVERY, RunBar


class RunProgress:
    """A context manager whose `step` is the loop's callback."""

    def __init__(self, console: Console, tokens: int, share_of_peak_per_rate: float) -> None:
        """`tokens` of the whole run; `share_of_peak_per_rate`: multiplied by tokens/s it gives the MFU."""
        self._bar, self._tokens, self._mfu = RunBar(console, "pretrain"), tokens, share_of_peak_per_rate
        self._recent: deque[Step] = deque(maxlen=LOG_EVERY)

    def __enter__(self) -> Self:
        self._bar.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._bar.__exit__(kind, error, trace)

    def step(self, step: Step) -> None:
        """Show one optimizer step; what went wrong is printed as it happens."""
        self._recent.append(step)
        if step.note:
            self._bar.note(step.step, step.note)
        self._bar.show(step.step, step.progress, self._say(step), step.seconds / max(step.progress, 1e-9) * (1 - step.progress))

    def _say(self, step: Step) -> str:
        rates = sorted(s.tokens_per_second for s in self._recent)
        rate = rates[len(rates) // 2]
        loss = sum(s.loss for s in self._recent) / len(self._recent)
        held = f" held-out {step.held_out:.3f}" if step.held_out is not None else ""
        noise = f" noise {step.noise:,.0f}" if step.noise is not None else ""
        read = f"{step.tokens / 1e6:.2f}M of {self._tokens / 1e6:.2f}M tok"
        return f"{read} {rate:,.0f} tok/s MFU {rate * self._mfu:.0%} loss {loss:.3f}{held} lr {step.lr:.1e} |g| {step.grad_norm:.2f}{noise}"
