"""The network: a BERT encoder and two numbers for every token, and the loss over a whole list.

It knows the architecture, the loss and how the best span is found inside the graph. It refuses to know text.
"""

from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import BertConfig, BertModel

from slipway_training.pointer.encode import PairBatch

LONGEST = 48
"""The longest span that is looked for, in word pieces."""
FLOOR = -1e4


class Pointer(nn.Module):
    """For each pair of question and passage: how likely an answer begins and ends at each token, and at [CLS] that there is none."""

    def __init__(self, bert: BertModel) -> None:
        super().__init__()
        self.bert = bert
        self.head = nn.Linear(bert.config.hidden_size, 2)
        nn.init.normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
        """(pairs, length, 2) logits of start and end."""
        hidden = self.bert(input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids).last_hidden_state
        return self.head(hidden).float()


class SpanFinder(nn.Module):
    """What is exported: the best span of each pair, found in the graph.

    Inputs int64 (pairs, length): `input_ids`, `attention_mask`, `token_type_ids`. Outputs per pair: `start` and `end` token of the best span, its `score`
    (sum of both logits), and `none`, the same sum at [CLS]. A span lies in the second segment, before its closing separator.
    """

    def __init__(self, pointer: Pointer) -> None:
        super().__init__()
        self.pointer = pointer

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """See the class."""
        logits = self.pointer(input_ids, attention_mask, token_type_ids)
        place = torch.arange(input_ids.shape[1], device=input_ids.device)
        closing = attention_mask.sum(dim=1, keepdim=True) - 1
        inside = (token_type_ids * (place[None, :] < closing)).float()
        begin = logits[:, :, 0] * inside + FLOOR * (1 - inside)
        end = logits[:, :, 1] * inside + FLOOR * (1 - inside)
        distance = place[None, :] - place[:, None]
        fits = ((distance >= 0) & (distance < LONGEST)).float()[None]
        spans = (begin[:, :, None] + end[:, None, :]) * fits + 4 * FLOOR * (1 - fits)
        best_end, end_of = spans.max(dim=2)
        score, start = best_end.max(dim=1)
        return start, end_of.gather(1, start[:, None])[:, 0], score, logits[:, 0, 0] + logits[:, 0, 1]


def list_loss(logits: Tensor, batch: PairBatch, *, shared: bool = True) -> tuple[Tensor, float]:
    """Mean negative log-likelihood in nats, and the share of lists whose likeliest start is right.

    One softmax runs over the tokens of all passages of a list, so that scores of different passages can be compared (the shared norm of Clark and Gardner
    2018, arXiv 1710.10723); where the answer stands several times, any of its places counts. Without `shared` each passage has a softmax of its own, and
    one that holds no answer is taught its [CLS].
    """
    lists = batch.allowed.shape[0]
    total = torch.zeros((), device=logits.device)
    right = torch.ones(lists, dtype=torch.bool, device=logits.device)
    for column, wanted in ((0, batch.starts), (1, batch.ends)):
        scores = logits[..., column].reshape(batch.allowed.shape).masked_fill(~batch.allowed, FLOOR)
        total = total + (_surprise(scores.flatten(1), wanted.flatten(1)) if shared else _surprise(scores, _or_none(wanted)))
        right &= wanted.flatten(1).gather(1, scores.flatten(1).argmax(1, keepdim=True))[:, 0]
    return total / 2, float(right.float().mean())


def _surprise(scores: Tensor, marked: Tensor) -> Tensor:
    """Mean over all but the last axis of -log of the probability that falls on `marked`."""
    return (torch.logsumexp(scores, -1) - torch.logsumexp(scores.masked_fill(~marked, FLOOR), -1)).mean()


def _or_none(wanted: Tensor) -> Tensor:
    """`wanted` with [CLS] marked in every passage that marks nothing."""
    out = wanted.clone()
    out[..., 0] |= ~wanted.any(-1)
    return out


def load_base(folder: Path, keep: list[int]) -> Pointer:
    """The encoder of `folder` with the rows `keep` of its word-piece table, and a new head."""
    bert = BertModel.from_pretrained(folder, add_pooling_layer=False, attn_implementation="sdpa")
    rows = bert.embeddings.word_embeddings.weight.detach()[keep].clone()
    bert.embeddings.word_embeddings = nn.Embedding.from_pretrained(rows, freeze=False, padding_idx=0)
    bert.config.vocab_size = len(keep)
    return Pointer(bert)


def empty(config: BertConfig) -> Pointer:
    """The network in the shape of `config`, weights at random: what a checkpoint is loaded into."""
    return Pointer(BertModel(config, add_pooling_layer=False))
