"""How far a student's next-token distribution is from a teacher's of which only the k likeliest tokens are kept.

Both are seen over k + 1 outcomes: the kept tokens, and one bucket for all others, so that nothing is lost but who is who inside the bucket. Any divergence over
the coarser outcomes is a lower bound of the one over the whole vocabulary (data-processing inequality) and equal to it where k is the vocabulary.
It knows tensors. It refuses to know models and files.
"""

import torch
from torch import Tensor
from torch.nn import functional

from slipway_training.tuning.config import Divergence

FLOOR = 1e-7
"""Least probability of the bucket: half precision keeps no smaller rest."""


def top_k(logits: Tensor, temperature: float, k: int) -> tuple[Tensor, Tensor]:
    """(log-probabilities, ids) of the k likeliest tokens at `temperature`: (..., vocabulary) -> two of (..., k)."""
    values, ids = functional.log_softmax(logits.float() / temperature, dim=-1).topk(min(k, logits.shape[-1]), dim=-1)
    return values, ids


def divergence(student: Tensor, kept: Tensor, ids: Tensor, how: Divergence) -> Tensor:
    """Mean over positions, in nats, times temperature squared, so that gradients keep their size (Hinton et al. 2015, arXiv 1503.02531, section 2).

    `student` (n, vocabulary) logits; `kept` (n, k) teacher log-probabilities at the same temperature; `ids` (n, k). forward_kl is KL(p || q) and covers
    the teacher, reverse_kl is KL(q || p) and seeks one of its modes (Gu et al. 2023, arXiv 2306.08543); jsd is Agarwal et al. 2023 (arXiv 2306.13649), eq. 1.
    """
    p = _with_rest(kept.float())
    q = _with_rest(functional.log_softmax(student.float() / how.temperature, dim=-1).gather(-1, ids))
    match how.kind:
        case "forward_kl":
            each = _kl(p, q)
        case "reverse_kl":
            each = _kl(q, p)
        case "jsd":
            weights = torch.tensor([how.beta, 1 - how.beta], device=p.device).log()
            middle = torch.logsumexp(torch.stack([p + weights[0], q + weights[1]]), dim=0)
            each = how.beta * _kl(p, middle) + (1 - how.beta) * _kl(q, middle)
    return each.mean() * how.temperature**2


def _with_rest(kept: Tensor) -> Tensor:
    """Log-probabilities with those of all other tokens together behind them."""
    rest = (1 - kept.exp().sum(-1, keepdim=True)).clamp_min(FLOOR).log()
    return torch.cat([kept, rest], dim=-1)


def _kl(p: Tensor, q: Tensor) -> Tensor:
    return (p.exp() * (p - q)).sum(-1)
