"""Copy-friendly starts of a Llama's attention: what a copying circuit looks like is written down instead of waited for.

It knows three things to write into fresh weights, all of which training may change:

1. Alike heads (most layers): queries look for keys of the same content, and what is read is written back.
   After Trockman & Kolter 2023, Mimetic Initialization of Self-Attention Layers, arXiv 2305.09828.
2. Previous-token heads (layer 0): every token receives a copy of the token before it, in a subspace of its own.
3. Induction heads (layers 1 and 2): a token looks for places whose *previous* token equals it, and reads what stands there.
   2 and 3 are the circuit of Olsson et al. 2022, In-context Learning and Induction Heads, arXiv 2209.11895.

It refuses to know data. That it helps is measured in the recipe's README.
"""

import math
from typing import TYPE_CHECKING

import torch
from transformers import LlamaForCausalLM

from slipway_training.sizes import sizes

if TYPE_CHECKING:
    from torch import Tensor

CONSTANT_SHARE = 1.0
"""Length of the direction that all embeddings share, in lengths of an embedding. It gives heads something that does not depend on the token, and
adds the same number to every logit, which changes nothing."""
MATCH = 4.0
"""Scale of an induction head's queries and keys: at 4 it gives 0.4 of its attention to the right place on real rows, before any training."""
MOVE = 0.5
"""Scale of a previous-token head's values and outputs: the copy becomes about as long as the embedding beside it."""
READ_OUT = 1.5
"""Scale of an induction head's values and outputs: large enough that 40 % of the copied tokens come out right before any training. At a tenth of it
training washed the circuit away within 100 steps, because it had no say in the logits yet."""
PREVIOUS_SHARPNESS = 30.0
"""Product of query and key length per rotary pair: at 30 / sqrt(32) per pair the neighbour wins over the next by a factor of about e^3."""


def copy_start(model: LlamaForCausalLM, strength: float) -> None:
    """Write the circuits into `model` in place. Needs an even head width of at least 16; `strength` 0.5 is what was tried."""
    with torch.no_grad():
        basis = torch.linalg.qr(torch.randn(model.config.hidden_size, model.config.hidden_size)).Q.T.contiguous()
        constant = basis[0]
        embedding = model.model.embed_tokens.weight
        embedding.mul_(1.0 / embedding.norm(dim=1).mean())
        embedding.add_(constant * CONSTANT_SHARE * embedding.norm(dim=1).mean())
        half = model.config.hidden_size // 2
        # Free of the constant, which would make every key alike; they share one row.
        read, written = basis[1 : 1 + half], basis[half:]
        for number, layer in enumerate(model.model.layers):
            attention = layer.get_submodule("self_attn")
            heads = _Heads(model, attention)
            if number == 0:
                _previous(heads, constant, read, written)
            else:
                _alike(heads, strength)
                if number <= 1:
                    _induction(heads, read, written, basis[1:])


class _Heads:
    """Views of one attention layer by head. q: (heads, size, width), k and v: (kv, size, width), o: (width, heads, size)."""

    def __init__(self, model: LlamaForCausalLM, attention: torch.nn.Module) -> None:
        numbers = sizes(model)
        size = numbers.head_width
        self.size, self.width, self.theta = size, numbers.width, numbers.rope_theta
        self.count, self.groups = numbers.heads, numbers.kv_heads
        self.per_group = self.count // self.groups
        self.q = attention.get_parameter("q_proj.weight").view(self.count, size, self.width)
        self.k = attention.get_parameter("k_proj.weight").view(self.groups, size, self.width)
        self.v = attention.get_parameter("v_proj.weight").view(self.groups, size, self.width)
        self.o = attention.get_parameter("o_proj.weight").view(self.width, self.count, size)
        # Rotary pair i is (i, i + size / 2) and turns by theta ** (-2 i / size) per token: the upper half of the pairs hardly turns within a row.
        self.slow = torch.arange(size) % (size // 2) >= size // 4


def _alike(heads: _Heads, strength: float) -> None:
    for group in range(heads.groups):
        alike = _rows(heads.size, heads.width)[heads.slow] * 2.0 * strength
        heads.k[group][heads.slow] = alike
        heads.v[group] = _rows(heads.size, heads.width) * strength
        for head in range(group * heads.per_group, (group + 1) * heads.per_group):
            heads.q[head][heads.slow] = alike + 0.02 * torch.randn_like(alike)
            heads.o[:, head, :] = heads.v[group].T * strength


def _previous(heads: _Heads, constant: "Tensor", read: "Tensor", written: "Tensor") -> None:
    """The first head of each group looks one token back and moves its part of the embedding from `read` to `written`."""
    pairs = heads.size // 2
    # RMSNorm makes the input's length sqrt(width), of which the constant direction has its share.
    length = math.sqrt(heads.width) * CONSTANT_SHARE / math.hypot(1.0, CONSTANT_SHARE)
    each = math.sqrt(PREVIOUS_SHARPNESS) / length
    turn = heads.theta ** (-torch.arange(pairs) * 2.0 / heads.size)
    for group in range(heads.groups):
        rows = slice(group * heads.size, (group + 1) * heads.size)
        source, target = read[rows], written[rows]
        if len(target) < heads.size:
            break
        head = group * heads.per_group
        # Key k0 and query q0 = R(1)^-1 k0: the score is the sum over pairs of cos((distance - 1) * turn), largest at distance 1.
        heads.k[group] = torch.cat([torch.full((pairs,), each), torch.zeros(pairs)])[:, None] * constant
        heads.q[head] = torch.cat([each * torch.cos(turn), -each * torch.sin(turn)])[:, None] * constant
        heads.v[group] = source * MOVE
        heads.o[:, head, :] = target.T * MOVE


def _induction(heads: _Heads, read: "Tensor", written: "Tensor", basis: "Tensor") -> None:
    """The first head of each group: a query is the token itself, a key is the copy of the token before."""
    for group in range(heads.groups):
        rows = slice(group * heads.size, (group + 1) * heads.size)
        source, target = read[rows], written[rows]
        if len(target) < heads.size:
            break
        head = group * heads.per_group
        heads.q[head] = torch.zeros_like(heads.q[head])
        heads.q[head][heads.slow] = source[heads.slow] * MATCH
        heads.k[group][heads.slow] = target[heads.slow] * MATCH
        heads.v[group] = basis[group * heads.size : (group + 1) * heads.size] * READ_OUT
        heads.o[:, head, :] = heads.v[group].T


def _rows(count: int, width: int) -> "Tensor":
    """`count` orthonormal rows of `width`."""
    return torch.linalg.qr(torch.randn(width, count)).Q.T.contiguous()
