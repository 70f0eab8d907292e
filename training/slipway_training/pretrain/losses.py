"""Next-token loss and its gradient in one pass over chunks of tokens: no whole matrix of logits is ever in memory, and none is computed twice.

It knows the output matrix and cross entropy. It refuses to know models, batches and optimizers.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor

Slopes = Callable[[Tensor, Tensor, float], Tensor]
CHUNK, CHUNK_GPU = 512, 8192
"""Tokens whose logits exist at once, in the matrix products' type: 8 MB of bf16 at a vocabulary of 8,192, 512 MB on a GPU at one of 32,768."""
PIECE = 64
"""On a CPU the float32 work on logits goes over this many tokens at a time: 2 MB at a vocabulary of 8,192, which stays in the second-level cache. It is
what makes the loss three times as fast as whole matrices (`make bench-training`)."""


def next_token_loss(hidden: Tensor, head: Tensor, labels: Tensor, smoothing: float = 0.0, *, compiled: bool = False) -> Tensor:
    """Mean loss in nats; hidden (rows, length, width), head (vocabulary, width), labels (rows, length) with -100 where none counts; already shifted.

    `compiled`: on a GPU the work on logits is left to torch.compile, which joins what would be a dozen passes over memory.

    The gradient with respect to both inputs is formed while each chunk's logits are at hand (the idea of Liger-Kernel's fused linear cross entropy,
    Hsu et al. 2024, arXiv 2410.10989). Under autocast products run in its type, sums in float32.
    """
    kind = hidden.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else hidden.dtype
    slopes = _compiled_slopes() if compiled and hidden.is_cuda else piecewise_slopes
    loss: Tensor = _Fused.apply(hidden.flatten(0, 1), head, labels.flatten(), smoothing, dtype, slopes)  # type: ignore[assignment]
    return loss


class _Fused(torch.autograd.Function):
    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, hidden: Tensor, head: Tensor, labels: Tensor, smoothing: float, dtype: torch.dtype, slopes: Slopes
    ) -> Tensor:
        wants = torch.is_grad_enabled() or hidden.requires_grad or head.requires_grad
        with torch.autocast(hidden.device.type, enabled=False):
            rows, matrix = hidden.detach().to(dtype), head.detach().to(dtype)
            count = (labels != -100).sum().clamp(min=1)
            total = torch.zeros((), dtype=torch.float32, device=hidden.device)
            to_hidden = torch.empty_like(rows) if wants else None
            to_head = torch.zeros(head.shape, dtype=torch.float32, device=hidden.device) if wants else None
            chunk = CHUNK_GPU if hidden.is_cuda else CHUNK
            for at in range(0, rows.shape[0], chunk):
                part = slice(at, at + chunk)
                logits = rows[part] @ matrix.T
                total += slopes(logits, labels[part], smoothing)
                if to_hidden is not None and to_head is not None:
                    to_hidden[part] = logits @ matrix
                    to_head += logits.T @ rows[part]
            if to_hidden is not None and to_head is not None:
                to_hidden /= count
                to_head /= count
        ctx.save_for_backward(to_hidden, to_head)
        ctx.types = hidden.dtype, head.dtype
        return total / count

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None, None, None]:  # type: ignore[override]
        to_hidden, to_head = ctx.saved_tensors
        return (to_hidden * grad).to(ctx.types[0]), (to_head * grad).to(ctx.types[1]), None, None, None, None


def piecewise_slopes(logits: Tensor, labels: Tensor, smoothing: float) -> Tensor:
    """The summed loss of (tokens, vocabulary) logits, which are overwritten by its gradient; a label of -100 counts for nothing."""
    total = torch.zeros((), dtype=torch.float32, device=logits.device)
    step = logits.shape[0] if logits.is_cuda else PIECE
    work = torch.empty((min(step, logits.shape[0]), logits.shape[1]), dtype=torch.float32, device=logits.device)
    for at in range(0, logits.shape[0], step):
        piece, wanted = logits[at : at + step], labels[at : at + step]
        counts, place = (wanted != -100)[:, None].float(), wanted.clamp(min=0)[:, None]
        scores = work[: len(piece)]
        scores.copy_(piece)
        scores.sub_(scores.amax(dim=1, keepdim=True))
        loss = (smoothing - 1) * scores.gather(1, place)
        if smoothing:
            loss -= smoothing * scores.mean(dim=1, keepdim=True)
        norm = scores.exp_().sum(dim=1, keepdim=True)
        total += ((loss + norm.log()) * counts).sum()
        scores.mul_(counts / norm)
        if smoothing:
            scores.sub_(counts * (smoothing / logits.shape[1]))
        scores.scatter_add_(1, place, (smoothing - 1) * counts)
        piece.copy_(scores)
    return total


def whole_slopes(logits: Tensor, labels: Tensor, smoothing: float) -> Tensor:
    """What `piecewise_slopes` does, written for a compiler: without pieces, and nothing in place but the result."""
    wanted = labels.clamp(min=0)[:, None]
    scores = logits.float()
    counts = (labels != -100)[:, None].float()
    norm = torch.logsumexp(scores, dim=1, keepdim=True)
    loss = norm - (1 - smoothing) * scores.gather(1, wanted) - smoothing * scores.mean(dim=1, keepdim=True)
    hit = torch.arange(scores.shape[1], device=scores.device)[None, :] == wanted
    slope = (torch.exp(scores - norm) - smoothing / scores.shape[1] - hit * (1 - smoothing)) * counts
    logits.copy_(slope)
    return (loss * counts).sum()


@cache
def _compiled_slopes() -> Slopes:
    return torch.compile(whole_slopes)
