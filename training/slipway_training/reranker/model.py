"""A cross-encoder that starts as the sentence encoder it is made from.

Query and passage stand in one sequence, each as the sentence encoder saw it alone (own [CLS] and [SEP], positions from 0). Attention from one to the other is
damped by a learned bias per layer and head. Were the bias minus infinity, the score would be the sentence encoder's cosine; training opens it. So a few thousand
lists are enough, where a new classification head on the first token has to learn relevance from nothing. The score joins two views of the last layer: the product
of both means, weighed per dimension, and late interaction (Khattab and Zaharia 2020): for every query token its likest passage token.
"""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

SHUT = (-5.0, -3.5)
"""The bias between the two at the start: of the lower and of the upper half of the layers."""
SCALE = 10.0
"""Of both views at the start; their sum has the temperature that the sentence encoder was trained with (20)."""


class Attention(nn.Module):
    """Self-attention with a bias towards one's own part."""

    def __init__(self, hidden: int, heads: int, shut: float) -> None:
        super().__init__()
        self.heads, self.size = heads, hidden // heads
        self.qkv = nn.Linear(hidden, 3 * hidden)
        self.out = nn.Linear(hidden, hidden)
        self.across = nn.Parameter(torch.full((heads,), shut))

    def forward(self, hidden: Tensor, part: Tensor, padding: Tensor) -> Tensor:
        batch, length, width = hidden.shape
        joined = self.qkv(hidden).view(batch, length, 3, self.heads, self.size)
        query, key, value = joined.permute(2, 0, 3, 1, 4).unbind(0)
        # Both biases as two more dimensions of the heads instead of sums over [length, length]. Of the bias across, what is constant over a row drops out of the
        # softmax: for a row of the query it falls on the passage's keys, for a row of the passage it is taken off them.
        across = self.across[None, :, None] * (1.0 - 2.0 * part)[:, None]
        query = torch.cat([query * self.size**-0.5, torch.stack([across, torch.ones_like(across)], -1).to(query.dtype)], -1)
        key = torch.cat([key, torch.stack([part, padding], -1)[:, None].expand(-1, self.heads, -1, -1).to(key.dtype)], -1)
        weights = torch.softmax(query @ key.transpose(2, 3), dim=-1).to(value.dtype)
        return self.out((weights @ value).transpose(1, 2).reshape(batch, length, width))


class Layer(nn.Module):
    """A BERT layer, normalised after each part."""

    def __init__(self, shape: dict[str, Any], shut: float) -> None:
        super().__init__()
        hidden, epsilon = shape["hidden_size"], shape["layer_norm_eps"]
        self.attention = Attention(hidden, shape["num_attention_heads"], shut)
        self.first_norm, self.second_norm = nn.LayerNorm(hidden, epsilon), nn.LayerNorm(hidden, epsilon)
        self.inner, self.outer = nn.Linear(hidden, shape["intermediate_size"]), nn.Linear(shape["intermediate_size"], hidden)
        self.dropout = nn.Dropout(shape.get("dropout", 0.1))

    def forward(self, hidden: Tensor, part: Tensor, padding: Tensor) -> Tensor:
        hidden = self.first_norm(hidden + self.dropout(self.attention(hidden, part, padding)))
        return self.second_norm(hidden + self.dropout(self.outer(F.gelu(self.inner(hidden)))))


class Reranker(nn.Module):
    """One logit per pair. Inputs int64 [batch, length], `token_type_ids` 0 for the query and 1 for the passage."""

    def __init__(self, shape: dict[str, Any]) -> None:
        super().__init__()
        hidden, layers = shape["hidden_size"], shape["num_hidden_layers"]
        self.shape = shape
        self.words = nn.Embedding(shape["vocab_size"], hidden)
        self.places = nn.Embedding(shape["max_position_embeddings"], hidden)
        self.parts = nn.Embedding(2, hidden)
        self.norm = nn.LayerNorm(hidden, shape["layer_norm_eps"])
        self.layers = nn.ModuleList(Layer(shape, SHUT[2 * number >= layers]) for number in range(layers))
        self.dimensions = nn.Parameter(torch.full((hidden,), SCALE))
        self.tokens = nn.Parameter(torch.tensor(SCALE))

    @classmethod
    def start(cls, base: Path, layers: int | None = None) -> "Reranker":
        """From a BERT folder (config.json, model.safetensors); the passage's part embedding starts as the query's, which is all that the base has seen."""
        shape = json.loads((base / "config.json").read_text(encoding="utf-8"))
        shape["num_hidden_layers"] = min(layers or 99, shape["num_hidden_layers"])
        made = cls(shape)
        held = {name.removeprefix("bert."): tensor.float() for name, tensor in load_file(base / "model.safetensors").items()}
        parts = held["embeddings.token_type_embeddings.weight"][:1].expand(2, -1)
        names = {"words": "word_embeddings", "places": "position_embeddings"}
        state = {f"{ours}.weight": held[f"embeddings.{theirs}.weight"] for ours, theirs in names.items()} | {"parts.weight": parts}
        state |= {f"norm.{kind}": held[f"embeddings.LayerNorm.{kind}"] for kind in ("weight", "bias")}
        for number in range(shape["num_hidden_layers"]):
            state |= _layer(held, f"encoder.layer.{number}", f"layers.{number}")
        made.load_state_dict(state, strict=False)
        return made

    @classmethod
    def read(cls, folder: Path) -> "Reranker":
        """From what `save` wrote."""
        made = cls(json.loads((folder / "config.json").read_text(encoding="utf-8")))
        made.load_state_dict(load_file(folder / "model.safetensors"))
        return made

    def save(self, folder: Path) -> None:
        """config.json and model.safetensors."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps(self.shape | {"across": True}, indent=1), encoding="utf-8")
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in self.state_dict().items()}, folder / "model.safetensors")

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
        there = attention_mask.float()
        ask, passage = there * (1 - token_type_ids), there * token_type_ids
        starts = ask.sum(1, keepdim=True).long() * token_type_ids
        places = torch.clamp(torch.arange(input_ids.shape[1], device=input_ids.device)[None] - starts, min=0)
        hidden = self.norm(self.words(input_ids) + self.places(places) + self.parts(token_type_ids))
        padding = (1.0 - there) * -10000.0
        for layer in self.layers:
            hidden = layer(hidden, token_type_ids.float(), padding)
        return self._score(hidden.float(), ask, passage)

    def _score(self, hidden: Tensor, ask: Tensor, passage: Tensor) -> Tensor:
        means = [_unit((hidden * part[:, :, None]).sum(1) / part.sum(1, keepdim=True).clamp(min=1)) for part in (ask, passage)]
        unit = _unit(hidden)
        alike = unit @ unit.transpose(1, 2) + (1.0 - passage)[:, None, :] * -10000.0
        likest = (alike.amax(dim=2) * ask).sum(1) / ask.sum(1).clamp(min=1)
        return ((means[0] * means[1] * self.dimensions).sum(1) + self.tokens * likest)[:, None]


def _layer(held: dict[str, Tensor], theirs: str, ours: str) -> dict[str, Tensor]:
    out: dict[str, Tensor] = {}
    for kind in ("weight", "bias"):
        out[f"{ours}.attention.qkv.{kind}"] = torch.cat(
            [held[f"{theirs}.attention.self.{part}.{kind}"] for part in ("query", "key", "value")]
        )
        out[f"{ours}.attention.out.{kind}"] = held[f"{theirs}.attention.output.dense.{kind}"]
        out[f"{ours}.first_norm.{kind}"] = held[f"{theirs}.attention.output.LayerNorm.{kind}"]
        out[f"{ours}.inner.{kind}"] = held[f"{theirs}.intermediate.dense.{kind}"]
        out[f"{ours}.outer.{kind}"] = held[f"{theirs}.output.dense.{kind}"]
        out[f"{ours}.second_norm.{kind}"] = held[f"{theirs}.output.LayerNorm.{kind}"]
    return out


def _unit(value: Tensor) -> Tensor:
    return value / value.norm(dim=-1, keepdim=True).clamp(min=1e-6)
