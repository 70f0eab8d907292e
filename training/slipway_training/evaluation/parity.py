"""How far a flavor is from its fp32 parent: logits on forced tokens and greedy continuations.

It knows figures only: the largest logit error, the mean KL divergence, the share of equal next tokens and of equal greedy tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slipway_training.evaluation.readers import TokenModel


@dataclass(frozen=True, slots=True)
class Parity:
    """`kl` in nats per token; `same_next` over all forced positions; `same_greedy` the share of prompts whose whole reply is equal."""

    max_logit_error: float
    kl: float
    same_next: float
    same_greedy: float
    prompts: int


def parity(reference: TokenModel, flavor: TokenModel, prompts: Sequence[Sequence[int]], stop: int, limit: int = 32) -> Parity:
    """Compare over `prompts` (token ids); both models read each prompt whole and then answer up to `limit` tokens."""
    errors: list[float] = []
    divergences: list[float] = []
    same_next: list[float] = []
    same_greedy: list[bool] = []
    for prompt in prompts:
        wanted, got = reference.logits(prompt), flavor.logits(prompt)
        errors.append(float(np.abs(wanted - got).max()))
        divergences.append(_kl(wanted, got))
        same_next.append(float((wanted.argmax(-1) == got.argmax(-1)).mean()))
        same_greedy.append(reference.greedy(prompt, stop, limit) == flavor.greedy(prompt, stop, limit))
    return Parity(max(errors), float(np.mean(divergences)), float(np.mean(same_next)), float(np.mean(same_greedy)), len(prompts))


def _kl(wanted: NDArray[np.float32], got: NDArray[np.float32]) -> float:
    p, q = _log_softmax(wanted), _log_softmax(got)
    return float((np.exp(p) * (p - q)).sum(-1).mean())


def _log_softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    shifted = logits.astype(np.float64) - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
