"""Logit lens (nostalgebraist 2020): what a model would say if it stopped after each layer.

The residual stream after every layer goes through the last norm and the output matrix. It knows figures over layers. It refuses to know files and plots.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from slipway_training.understand.opened import Opened, hidden_states


@dataclass(frozen=True, slots=True)
class Lens:
    """One text. Arrays are (layers + 1, tokens), row 0 the embedding; "final" is the token that the whole model finds likeliest at that place.

    `rank` (1 is best) and `probability` of the final token; `divergence`: KL(final || here) in nats; `next_rank` of the token that really follows,
    (layers + 1, tokens - 1); `said` the likeliest token as text; `tokens` the text's own.
    """

    tokens: list[str]
    said: list[list[str]]
    rank: NDArray[np.int64]
    probability: NDArray[np.float64]
    divergence: NDArray[np.float64]
    next_rank: NDArray[np.int64]


def logit_lens(opened: Opened, text: str, limit: int = 256) -> Lens:
    """The lens on one text of at most `limit` tokens (two at least: a shorter one has nothing that follows)."""
    ids = opened.ids(text, limit)
    logs = [_log_probabilities(opened, state) for state in _normed(opened, hidden_states(opened.model, ids))]
    final, following = logs[-1].argmax(-1), torch.tensor(ids[1:], dtype=torch.long)
    return Lens(
        tokens=[opened.token(i) for i in ids], said=[[opened.token(int(t)) for t in row.argmax(-1)] for row in logs],
        rank=np.stack([_rank(row, final) for row in logs]), probability=np.stack([_at(row, final).exp().numpy().astype(np.float64) for row in logs]),
        divergence=np.stack([_divergence(logs[-1], row) for row in logs]), next_rank=np.stack([_rank(row[:-1], following) for row in logs]),
    )  # fmt: skip


def over_layers(lenses: Sequence[Lens]) -> dict[str, list[float]]:
    """Figures by layer over every token of all texts: mean `probability`, median `rank`, share where the final token already leads (`agreement`),
    mean `divergence` in nats, median `next_rank`."""
    rank, next_rank = (np.concatenate([getattr(lens, name) for lens in lenses], axis=1) for name in ("rank", "next_rank"))
    probability, divergence = (np.concatenate([getattr(lens, name) for lens in lenses], axis=1) for name in ("probability", "divergence"))
    return {
        "probability": probability.mean(1).tolist(), "rank": np.median(rank, axis=1).tolist(), "agreement": (rank == 1).mean(1).tolist(),
        "divergence": divergence.mean(1).tolist(), "next_rank": np.median(next_rank, axis=1).tolist() if next_rank.size else [],
    }  # fmt: skip


def _normed(opened: Opened, stream: "list[Tensor]") -> "list[Tensor]":
    with torch.inference_mode():
        return [opened.model.model.norm(state) for state in stream]


def _log_probabilities(opened: Opened, state: Tensor) -> Tensor:
    with torch.inference_mode():
        return opened.model.lm_head(state).float().log_softmax(-1)


def _at(logs: Tensor, tokens: Tensor) -> Tensor:
    return logs.gather(-1, tokens[:, None])[:, 0]


def _rank(logs: Tensor, tokens: Tensor) -> NDArray[np.int64]:
    """1 + how many tokens are likelier."""
    return ((logs > _at(logs, tokens)[:, None]).sum(-1) + 1).numpy()


def _divergence(final: Tensor, here: Tensor) -> NDArray[np.float64]:
    return (final.exp() * (final - here)).sum(-1).clamp_min(0).numpy().astype(np.float64)
