"""The reader of names in the making: its network, its training, and the file that the service loads.

It knows tags and batches of whole texts. It refuses to know where texts come from. The arithmetic is that of the service's names.py; the recipe's test
compares the two.
"""

import hashlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save
from torch import nn

from slipway_training.safety.name_config import NamesConfig

OUTSIDE, BEGIN, INSIDE = range(3)
UNKNOWN = -100
"""The tag of the blank word between two texts of a batch: nothing is learned from it."""


@dataclass(frozen=True)
class Words:
    """What the service reads of all texts, one after another: `starts[i]:starts[i + 1]` are the words of text i. `tags` [words]."""

    states: NDArray[np.float16]
    shapes: NDArray[np.float32]
    pieces: NDArray[np.int16]
    starts: NDArray[np.int64]
    tags: NDArray[np.int64]


def tags_of(places: Sequence[tuple[int, int]], names: Sequence[tuple[int, int]]) -> list[int]:
    """The tag of each word, which stands at `places`; a name's first word begins it."""
    out = [OUTSIDE] * len(places)
    for start, end in names:
        inside = [i for i, (a, b) in enumerate(places) if a >= start and b <= end]
        for i in inside:
            out[i] = BEGIN if i == inside[0] else INSIDE
    return out


class NameReader(nn.Module):
    """Two convolutions of three words over MiniLM's states, shapes and spellings -> logits of the tags."""

    def __init__(self, states: int, shapes: int, buckets: int, config: NamesConfig) -> None:
        super().__init__()
        self.pieces = nn.EmbeddingBag(buckets + 1, config.spelling, mode="sum", padding_idx=buckets)
        with torch.no_grad():
            nn.init.normal_(self.pieces.weight[:-1], std=0.05)
        self.drop = nn.Dropout(config.dropout)
        self.first = nn.Conv1d(states + shapes + config.spelling, config.width, 3, padding=1)
        self.second = nn.Conv1d(config.width, config.inner, 3, padding=1)
        self.out = nn.Linear(config.inner, 3)

    def forward(self, states: torch.Tensor, shapes: torch.Tensor, pieces: torch.Tensor, blank: torch.Tensor) -> torch.Tensor:
        """[words, 3] of words in a row; a `blank` one is as nothing to its neighbours, as if the text ended there."""
        x = torch.cat([self.drop(states), shapes, self.drop(self.pieces(pieces))], -1).T[None]
        hidden = torch.relu(self.second(torch.relu(self.first(x)).masked_fill(blank, 0.0)))
        return self.out(hidden[0].T)

    def write(self, path: Path) -> None:
        """The service's file and its digest: float16, kernels as [reach, in, out]."""
        tensors = {
            "pieces": self.pieces.weight[:-1], "first": self.first.weight.permute(2, 1, 0), "first_bias": self.first.bias,
            "second": self.second.weight.permute(2, 1, 0), "second_bias": self.second.bias, "out": self.out.weight.T, "out_bias": self.out.bias,
        }  # fmt: skip
        raw = save({name: np.ascontiguousarray(t.detach().numpy().astype(np.float16)) for name, t in tensors.items() if t is not None})
        path.with_suffix(".sha256").write_text(f"{hashlib.sha256(raw).hexdigest()}\n", encoding="ascii")
        path.write_bytes(raw)


def train(words: Words, rows: Sequence[int], buckets: int, config: NamesConfig, told: Callable[[int], None]) -> NameReader:
    """A reader that learned from the texts `rows`: AdamW, one cycle (Smith 2018)."""
    net = NameReader(words.states.shape[1], words.shapes.shape[1], buckets, config)
    optimizer = torch.optim.AdamW(net.parameters(), config.rate, weight_decay=config.decay)
    order, rng = list(rows), random.Random(config.seed)
    lengths = np.diff(words.starts)
    batches = [len(_batches(order, lengths, config.batch_words))] * config.epochs
    # Shuffled texts fill batches a little differently each time: the cycle may end a few steps early, never late.
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, config.rate, total_steps=sum(batches) + 8 * config.epochs, pct_start=0.1)
    weight = torch.tensor([1.0, config.name_weight, config.name_weight])
    for _ in range(config.epochs):
        rng.shuffle(order)
        for batch in _batches(order, lengths, config.batch_words):
            inputs, tags = _inputs(words, batch, buckets)
            loss = nn.functional.cross_entropy(net(*inputs, tags == UNKNOWN), tags, weight=weight, ignore_index=UNKNOWN)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            cycle.step()
            told(len(batch))
    return net.eval()


def _batches(order: Sequence[int], lengths: NDArray[np.int64], size: int) -> list[list[int]]:
    out: list[list[int]] = [[]]
    held = 0
    for row in order:
        if held >= size:
            out.append([])
            held = 0
        out[-1].append(row)
        held += int(lengths[row]) + 1
    return out


def _inputs(words: Words, batch: Sequence[int], buckets: int) -> tuple[tuple[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]:
    """The texts one after another with a blank word behind each, as the borders of a text look to the service."""
    parts = [slice(int(words.starts[i]), int(words.starts[i + 1])) for i in batch]
    total = sum(part.stop - part.start + 1 for part in parts)
    states, shapes = np.zeros((total, words.states.shape[1]), np.float32), np.zeros((total, words.shapes.shape[1]), np.float32)
    pieces, tags = np.full((total, words.pieces.shape[1]), buckets), np.full(total, UNKNOWN)
    at = 0
    for part in parts:
        here = slice(at, at + part.stop - part.start)
        states[here], shapes[here], pieces[here], tags[here] = words.states[part], words.shapes[part], words.pieces[part], words.tags[part]
        at = here.stop + 1
    return (torch.from_numpy(states), torch.from_numpy(shapes), torch.from_numpy(pieces)), torch.from_numpy(tags)


@torch.no_grad()
def judged(net: NameReader, words: Words, rows: Sequence[int], buckets: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Of the words of the texts `rows`: whether each is part of a name, and whether the reader takes it for one."""
    inputs, tags = _inputs(words, rows, buckets)
    blank = tags == UNKNOWN
    logits = net(*inputs, blank)[~blank]
    return (tags[~blank] != OUTSIDE).numpy(), (logits.argmax(1) != OUTSIDE).numpy()
