"""What is watched while a model trains: sizes of activations, spikes of the gradient, and how noisy the gradient is.

It knows norms and hooks. It refuses to decide what happens to a run.
"""

import math
import statistics
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn

WINDOW = 50
"""Gradient norms that are remembered."""
ENOUGH = 20
"""Fewer than this many say nothing about what is usual."""
LARGEST_ACTIVATION = 1e3
"""Root mean square of a layer's output from which a run is about to diverge (in bf16 the smallest step there is 4)."""


def is_spike(norm: float, recent: Sequence[float], factor: float) -> bool:
    """Whether a gradient norm is not finite, or above `factor` times the median of the recent ones (0: never)."""
    if not math.isfinite(norm):
        return True
    return factor > 0 and len(recent) >= ENOUGH and norm > factor * statistics.median(recent)


class ActivationMeter:
    """Root mean square of every decoder layer's output, measured on the forward passes while `on` is true, in whichever threads they run."""

    def __init__(self, layers: Iterable[nn.Module]) -> None:
        self.on = False
        self._seen: list[list[tuple[float, int]]] = []
        for layer in layers:
            self._seen.append([])
            layer.register_forward_hook(self._note(self._seen[-1]))

    def _note(self, seen: list[tuple[float, int]]) -> Callable[[nn.Module, object, Tensor], None]:
        def hook(module: nn.Module, inputs: object, output: Tensor) -> None:
            if self.on:
                seen.append((float(output.detach().float().pow(2).mean()), output.numel()))

        return hook

    def take(self) -> list[float]:
        """What was measured since the last call, a number a layer; measuring is off afterwards."""
        # Sorted: threads come in any order, and the log of a run must not depend on it.
        sizes = [math.sqrt(sum(s * n for s, n in sorted(seen)) / sum(n for _, n in seen)) for seen in self._seen if seen]
        self.on = False
        for seen in self._seen:
            seen.clear()
        return sizes


def squared_norm(parameters: Iterable[Tensor]) -> float:
    """Sum of squares of all gradients (of this process)."""
    total = torch.zeros(())
    for parameter in parameters:
        if parameter.grad is not None:
            total = total + parameter.grad.detach().float().pow(2).sum().cpu()
    return float(total)


def noise_scale(small: float, small_batch: int, large: float, large_batch: int) -> float | None:
    """The simple gradient noise scale in tokens (McCandlish et al. 2018, arXiv 1812.06162, appendix A.1): batches far above it waste data.

    `small` and `large` are squared gradient norms at the two batch sizes (tokens). None where the estimate is not positive, which single steps often give.
    """
    if large_batch <= small_batch:
        return None
    signal = (large_batch * large - small_batch * small) / (large_batch - small_batch)
    noise = (small - large) / (1 / small_batch - 1 / large_batch)
    return noise / signal if signal > 0 and noise > 0 else None
