"""How large a model and how many tokens a budget of computation is best spent on.

It knows a published scaling law and arithmetic. It refuses to know machines: a budget comes in FLOPs.

The law is L(N, D) = E + A / N^alpha + B / D^beta (Hoffmann et al. 2022, arXiv 2203.15556) with the constants of its replication (Besiroglu et al. 2024,
arXiv 2404.10102, which found the printed ones to be rounded and misfit). It was fitted on web text, 44M to 16B parameters and a vocabulary of 32k: below
that, and for other text, it orders choices and does not predict losses.
"""

from collections.abc import Sequence
from dataclasses import dataclass

E, A, B, ALPHA, BETA = 1.8172, 482.01, 2085.43, 0.3478, 0.3658
RATIOS = (5, 10, 20, 40, 80, 160)
"""Tokens a parameter that a table shows; serving costs make more than the compute-optimal 20 worth it (Sardana et al. 2023, arXiv 2401.00448)."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Parameters, tokens, training FLOPs (6 N D) and the law's loss in nats a token."""

    parameters: float
    tokens: float
    flops: float
    loss: float

    @property
    def tokens_per_parameter(self) -> float:
        """D / N."""
        return self.tokens / self.parameters


def best_loss(parameters: float, tokens: float) -> float:
    """The law's loss in nats a token."""
    return E + A / parameters**ALPHA + B / tokens**BETA


def optimal(flops: float) -> Choice:
    """The choice of the least loss for `flops` = 6 N D (the closed form of Hoffmann et al., equation 4)."""
    scale = (ALPHA * A / (BETA * B)) ** (1 / (ALPHA + BETA))
    parameters = scale * (flops / 6) ** (BETA / (ALPHA + BETA))
    tokens = flops / 6 / parameters
    return Choice(parameters, tokens, flops, best_loss(parameters, tokens))


def choices(flops: float, ratios: Sequence[float] = RATIOS) -> list[Choice]:
    """For each number of tokens a parameter, the model that spends `flops` so."""
    out: list[Choice] = []
    for ratio in ratios:
        parameters = (flops / 6 / ratio) ** 0.5
        out.append(Choice(parameters, ratio * parameters, flops, best_loss(parameters, ratio * parameters)))
    return out
