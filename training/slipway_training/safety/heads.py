"""The two small readers of a text, and how their logits become a probability.

A linear one over hashed word sequences, and one hidden layer over MiniLM's frozen states; a logistic calibration per head (Platt 1999) on the
rows that were kept back adds them. The heads of attacks are different: the linear reader only chooses their windows, because it knows the templates' words better
than their meaning, and one operating point stands for all of them. It refuses to know where rows come from and what is written.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from slipway_training.safety.config import AttackConfig, DenseConfig, SparseConfig

BUCKETS = 1 << 15
"""As in the service's features.py; the recipe's test compares them by running it."""
BATCH = 256


class Features:
    """`pooled`: float32 [rows, taps * 384]; each row's buckets lie between two offsets."""

    def __init__(self, file: Path) -> None:
        with np.load(file) as data:
            self.pooled = torch.from_numpy(data["pooled"].astype(np.float32))
            self.buckets = torch.from_numpy(data["buckets"])
            self.offsets = torch.from_numpy(data["offsets"])

    def bags(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The buckets of `rows` one after another, and where each row's begin."""
        parts = [self.buckets[self.offsets[i] : self.offsets[i + 1]] for i in rows.tolist()]
        starts = np.cumsum([0, *(len(part) for part in parts)])[:-1]
        return torch.cat(parts), torch.from_numpy(starts)


class Targets:
    """`y` and `known`: float32 [rows, heads]; `weight` [heads] evens out rare positives, between 1 and 8."""

    def __init__(self, y: torch.Tensor, known: torch.Tensor, train: torch.Tensor) -> None:
        self.y, self.known = y, known
        self.weight = (((1 - y) * known)[train].sum(0) / (y * known)[train].sum(0).clamp(min=1)).clamp(1, 8)

    def loss(self, logits: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """Mean cross entropy over the known labels of `rows`."""
        each = nn.functional.binary_cross_entropy_with_logits(logits, self.y[rows], pos_weight=self.weight, reduction="none")
        return (each * self.known[rows]).sum() / self.known[rows].sum()


class Dense(nn.Module):
    """Scaled states -> one hidden layer -> logits."""

    def __init__(self, width: int, heads: int, config: DenseConfig) -> None:
        super().__init__()
        self.inner = nn.Linear(width, config.hidden)
        self.outer = nn.Linear(config.hidden, heads)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        return self.outer(self.dropout(torch.relu(self.inner(self.dropout(states)))))


def train_dense(x: torch.Tensor, rows: torch.Tensor, targets: Targets, config: DenseConfig, told: Callable[[int], None]) -> Dense:
    """AdamW over shuffled batches of BATCH; `told` hears how many rows each step took."""
    model = Dense(x.shape[1], targets.y.shape[1], config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.rate, weight_decay=config.decay)
    steps = config.epochs * (len(rows) // BATCH + 1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, config.rate, total_steps=steps)
    for _ in range(config.epochs):
        for batch in rows[torch.randperm(len(rows))].split(BATCH):
            optimizer.zero_grad()
            targets.loss(model(x[batch]), batch).backward()
            optimizer.step()
            schedule.step()
            told(len(batch))
    return model.eval()


def train_sparse(
    data: Features, rows: torch.Tensor, targets: Targets, config: SparseConfig, told: Callable[[int], None]
) -> nn.EmbeddingBag:
    """A linear reader of buckets with an L1 pull to zero after every epoch (small file, fewer accidents)."""
    bag = nn.EmbeddingBag(BUCKETS, targets.y.shape[1], mode="sum")
    nn.init.zeros_(bag.weight)
    optimizer = torch.optim.Adam(bag.parameters(), lr=config.rate)
    for _ in range(config.epochs):
        for batch in rows[torch.randperm(len(rows))].split(BATCH):
            optimizer.zero_grad()
            targets.loss(_linear(data, bag, batch), batch).backward()
            optimizer.step()
            told(len(batch))
        with torch.no_grad():
            bag.weight.copy_(torch.sign(bag.weight) * torch.clamp(bag.weight.abs() - config.l1 * 10, min=0))
    return bag.eval()


def _linear(data: Features, bag: nn.EmbeddingBag, rows: torch.Tensor) -> torch.Tensor:
    buckets, starts = data.bags(rows)
    scale = torch.sqrt(torch.diff(starts, append=torch.tensor([len(buckets)])).float().clamp(min=1))[:, None]
    return bag(buckets, starts) / scale


def sparse_logits(data: Features, bag: nn.EmbeddingBag, rows: torch.Tensor) -> torch.Tensor:
    """Logits of the linear reader, [rows, heads]."""
    with torch.no_grad():
        return torch.cat([_linear(data, bag, batch) for batch in rows.split(1024)])


def calibrate(dense: torch.Tensor, sparse: torch.Tensor, y: torch.Tensor, known: torch.Tensor) -> NDArray[np.float32]:
    """[heads, 3]: weights of the dense and the sparse logit, and the bias. A head without a row of both kinds trusts both alike."""
    out = np.tile(np.asarray([0.5, 0.5, 0.0], dtype=np.float32), (y.shape[1], 1))
    for head in range(y.shape[1]):
        mask = known[:, head] > 0
        target = y[mask, head]
        if 0 < target.sum() < len(target):
            out[head] = _logistic(torch.stack([dense[mask, head], sparse[mask, head]], 1), target)
    return out


def _logistic(x: torch.Tensor, target: torch.Tensor) -> NDArray[np.float32]:
    w, b = torch.full((x.shape[1],), 0.5, requires_grad=True), torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.LBFGS([w, b], max_iter=100)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = nn.functional.binary_cross_entropy_with_logits(x @ w.abs() + b, target) + 0.01 * (w**2).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return np.asarray([*w.abs().detach().tolist(), *b.detach().tolist()], dtype=np.float32)


def operating_point(dense: torch.Tensor, hostile: torch.Tensor, harmless: torch.Tensor, config: AttackConfig) -> tuple[float, float]:
    """(slope, bias) of the probability sigmoid(slope * logit + bias), where the logit is the highest of the attack heads' (`dense`, [rows, heads]).

    The slope is Platt's; the bias puts the policy's threshold at the logit that `config.false_positives` of the `harmless` rows reach (Neyman and Pearson
    1933). A logistic fit alone would put it anywhere: templates that were kept back are told apart almost without error, people's words are not.
    """
    top = dense.amax(1)
    rows = hostile | harmless
    if not hostile.any() or not harmless.any():
        return 1.0, 0.0
    slope = float(_logistic(top[rows, None], hostile[rows].float())[0])
    cut = float(torch.quantile(top[harmless], 1 - config.false_positives))
    return slope, math.log(config.threshold / (1 - config.threshold)) - slope * cut


@dataclass(frozen=True)
class Member:
    """One pair of readers: the hidden layer on unscaled states, the linear weights, the calibration, and both logits of the rows that it was trained without."""

    inner: torch.Tensor
    inner_bias: torch.Tensor
    outer: torch.Tensor
    outer_bias: torch.Tensor
    sparse: torch.Tensor
    mix: torch.Tensor
    dense_logits: torch.Tensor
    sparse_logits: torch.Tensor

    def logits(self) -> torch.Tensor:
        """Calibrated logits of those rows."""
        return self.dense_logits * self.mix[:, 0] + self.sparse_logits * self.mix[:, 1] + self.mix[:, 2]


def unscaled(dense: Dense, mean: torch.Tensor, spread: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """The weights with the scaling of the states folded in, so that serving multiplies once."""
    inner = dense.inner.weight.detach() / spread
    return inner, dense.inner.bias.detach() - inner @ mean, dense.outer.weight.detach(), dense.outer.bias.detach()


def merged(members: Sequence[Member], point: tuple[float, float], attacks: Sequence[int]) -> dict[str, torch.Tensor]:
    """The tensors of one file whose logits are the mean of the members' calibrated logits (averaging over seeds, Hansen and Salamon 1990): hidden
    layers side by side, linear weights added up. The heads in `attacks` have the operating point `point`, and no linear part in their probability."""
    share = 1 / len(members)
    sparse = torch.stack([m.sparse * m.mix[:, 1] * share for m in members]).sum(0)
    scale = sparse.abs().amax(0).clamp(min=1e-6) / 127
    bias = torch.stack([m.mix[:, 2] * share for m in members]).sum(0)
    mix = torch.stack([torch.ones_like(bias), torch.ones_like(bias), bias], dim=1)
    mix[list(attacks)] = torch.tensor([point[0], 0.0, point[1]])
    return {
        "inner.weight": torch.cat([m.inner for m in members]).half(), "inner.bias": torch.cat([m.inner_bias for m in members]).float(),
        "outer.weight": torch.cat([m.outer * m.mix[:, :1] * share for m in members], dim=1).float(),
        "outer.bias": torch.stack([m.outer_bias * m.mix[:, 0] * share for m in members]).sum(0).float(),
        "sparse.weight": torch.round(sparse / scale).to(torch.int8), "sparse.scale": scale,
        "mix": mix,
    }  # fmt: skip


def auc(scores: NDArray[np.float32], y: NDArray[np.float32]) -> float:
    """Area under the ROC curve by ranks; nan without both kinds."""
    order = np.argsort(scores, kind="stable")
    ranks = np.empty(len(scores))
    ranks[order] = np.arange(1, len(scores) + 1)
    positives = y > 0.5
    n, m = int(positives.sum()), int((~positives).sum())
    return float((ranks[positives].sum() - n * (n + 1) / 2) / (n * m)) if n and m else float("nan")
