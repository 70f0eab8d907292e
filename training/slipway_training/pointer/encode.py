"""From lists to tensors: pairs of question and passage, and the token positions at which the answer begins and ends.

It knows WordPiece offsets and padding. It refuses to know the model and the loss.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from tokenizers import Encoding, Tokenizer
from torch import Tensor

from slipway_training.pointer.lists import AskList

MAX_QUESTION_TOKENS = 64


@dataclass(frozen=True, slots=True)
class PairBatch:
    """`lists` x `passages` pairs of `length` tokens.

    ids, types, mask: int64 (lists * passages, length). `allowed`: bool (lists, passages, length), the passage's tokens and every pair's [CLS].
    `starts`, `ends`: bool (lists, passages, length), where the answer begins and ends; for a list without an answer every [CLS].
    """

    ids: Tensor
    types: Tensor
    mask: Tensor
    allowed: Tensor
    starts: Tensor
    ends: Tensor

    @property
    def tokens(self) -> int:
        """Tokens that are no padding."""
        return int(self.mask.sum())

    def to(self, device: torch.device) -> "PairBatch":
        """The same on `device`."""
        parts = (self.ids, self.types, self.mask, self.allowed, self.starts, self.ends)
        return PairBatch(*(part.to(device, non_blocking=True) for part in parts))


def pair_batch(tokenizer: Tokenizer, lists: Sequence[AskList], max_tokens: int) -> PairBatch:
    """The batch of `lists`, all of the same number of passages. A passage is cut at `max_tokens`."""
    rows = [[_pair(tokenizer, item.question, passage, max_tokens) for passage in item.passages] for item in lists]
    length = -(-max(len(pair.ids) for row in rows for pair in row) // 8) * 8
    count = len(rows[0])
    ids, types, mask = (torch.zeros(len(rows), count, length, dtype=torch.long) for _ in range(3))
    allowed, starts, ends = (torch.zeros(len(rows), count, length, dtype=torch.bool) for _ in range(3))
    for r, (item, row) in enumerate(zip(lists, rows, strict=True)):
        for p, pair in enumerate(row):
            n = len(pair.ids)
            ids[r, p, :n], types[r, p, :n], mask[r, p, :n] = (torch.tensor(part) for part in (pair.ids, pair.type_ids, pair.attention_mask))
            allowed[r, p, :n] = torch.tensor([s == 1 for s in pair.sequence_ids])
            allowed[r, p, 0] = True
        for start, end in _positions(row[item.gold], item.spans) if item.gold >= 0 else ():
            starts[r, item.gold, start], ends[r, item.gold, end] = True, True
        if not starts[r].any():
            starts[r, :, 0] = ends[r, :, 0] = True
    flat = (len(rows) * count, length)
    return PairBatch(ids.view(flat), types.view(flat), mask.view(flat), allowed, starts, ends)


def _pair(tokenizer: Tokenizer, question: str, passage: str, max_tokens: int) -> Encoding:
    tokenizer.enable_truncation(max_tokens, strategy="only_second")
    words = tokenizer.encode(question, add_special_tokens=False)
    if len(words.ids) > MAX_QUESTION_TOKENS:
        question = question[: words.offsets[MAX_QUESTION_TOKENS - 1][1]]
    return tokenizer.encode(question, passage)


def _positions(pair: Encoding, spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """(first token, last token) of every span that was not cut off."""
    places = [i for i, s in enumerate(pair.sequence_ids) if s == 1]
    out: list[tuple[int, int]] = []
    for start, end in spans:
        inside = [i for i in places if pair.offsets[i][0] < end and pair.offsets[i][1] > start]
        if inside and pair.offsets[inside[-1]][1] >= end:
            out.append((inside[0], inside[-1]))
    return out
