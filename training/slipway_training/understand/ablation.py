"""Ablation: what the loss rises to when a head, a neuron or a whole sublayer is silenced.

A part's output is replaced by zero, or by its mean over all tokens (which keeps the layer's average and so hurts less for the wrong reason). Neurons are too many
to try each: a first-order estimate (activation times gradient, Michel et al. 2019, arXiv 1905.10650) picks which are tried. It refuses to know files and plots.
"""

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from slipway_training.errors import ConfigError
from slipway_training.evaluation.scores import Figure, paired
from slipway_training.sizes import sizes
from slipway_training.understand.opened import Opened

Fill = Literal["zero", "mean"]
Kind = Literal["head", "neuron", "attention", "mlp"]


@dataclass(frozen=True, slots=True)
class Part:
    """What is silenced: columns [first, first + count) of what enters a layer's `o_proj` (head, attention) or `down_proj` (neuron, mlp)."""

    kind: Kind
    layer: int
    index: int
    first: int
    count: int


@dataclass(frozen=True, slots=True)
class Effect:
    """A part and the rise of the loss without it, in nats a token over the same texts (95 % paired bootstrap); `estimate` is the first-order one, if any."""

    part: Part
    rise: Figure
    estimate: float | None = None


@dataclass(frozen=True, slots=True)
class Ablations:
    """`base` is the mean loss in nats a token of the whole model."""

    base: float
    fill: Fill
    effects: list[Effect] = field(default_factory=list[Effect])


def parts_of(opened: Opened) -> list[Part]:
    """Every head, and every sublayer as a whole."""
    numbers = sizes(opened.model)
    inner = int(opened.model.config.intermediate_size)
    heads = [Part("head", la, h, h * numbers.head_width, numbers.head_width) for la in range(numbers.layers) for h in range(numbers.heads)]
    attention = [Part("attention", la, 0, 0, numbers.heads * numbers.head_width) for la in range(numbers.layers)]
    return [*heads, *attention, *(Part("mlp", la, 0, 0, inner) for la in range(numbers.layers))]


def ablate(opened: Opened, texts: Sequence[str], fill: Fill, neurons: int, tick: Callable[[int, int], None], limit: int = 256) -> Ablations:
    """The effect of each head and sublayer, and of the `neurons` of each layer that the estimate puts first.

    `tick(done, of)`. Texts of fewer than two tokens are passed over; raises ConfigError when none is left.
    """
    rows = [ids for text in texts if len(ids := opened.ids(text, limit)) > 1]
    if not rows:
        raise ConfigError("the texts have fewer than two tokens each")
    means, estimates, base = _watch(opened, rows)
    chosen = [(part, None) for part in parts_of(opened)]
    for layer, scores in enumerate(estimates):
        first = torch.topk(scores.abs(), min(neurons, len(scores))).indices.tolist() if neurons else []
        chosen += [(Part("neuron", layer, index, index, 1), float(scores[index])) for index in first]
    out = Ablations(float(np.mean(base)), fill)
    for done, (part, estimate) in enumerate(chosen, 1):
        with silenced(opened, part, means[_key(part)] if fill == "mean" else None):
            losses = [_loss(opened, ids) for ids in rows]
        out.effects.append(Effect(part, paired(losses, base), estimate))
        tick(done, len(chosen))
    return out


@contextmanager
def silenced(opened: Opened, part: Part, mean: Tensor | None) -> Generator[None]:
    """While open, the part puts out `mean` (all columns of its site, (width,)) or zero."""
    span = slice(part.first, part.first + part.count)

    def hush(_module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        changed = inputs[0].clone()
        changed[..., span] = 0.0 if mean is None else mean[span]
        return (changed, *inputs[1:])

    handle = _site(opened, part).register_forward_pre_hook(hush)
    try:
        yield
    finally:
        handle.remove()


def _watch(opened: Opened, rows: Sequence[Sequence[int]]) -> tuple[dict[tuple[str, int], Tensor], list[Tensor], list[float]]:
    """One pass over all texts: the mean input of every site, the estimated rise of each neuron under zeroing, and the loss of each text."""
    layers = opened.model.model.layers
    sites = {(name, i): _linear(opened, name, i) for i in range(len(layers)) for name in ("o", "down")}
    sums: dict[tuple[str, int], Tensor] = {}
    rises = [torch.zeros(int(opened.model.config.intermediate_size)) for _ in layers]
    held: dict[int, Tensor] = {}
    base: list[float] = []

    def look(key: tuple[str, int]) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def hook(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            flat = inputs[0].detach()[0].sum(0)
            sums[key] = sums[key] + flat if key in sums else flat
            if key[0] == "down":
                inputs[0].retain_grad()
                held[key[1]] = inputs[0]

        return hook

    handles = [site.register_forward_pre_hook(look(key)) for key, site in sites.items()]
    try:
        for ids in rows:
            loss = _graph_loss(opened, ids)
            loss.backward()
            base.append(float(loss.detach()))
            for layer, value in held.items():
                assert value.grad is not None
                rises[layer] -= (value.detach() * value.grad)[0].sum(0) / len(rows)
    finally:
        for handle in handles:
            handle.remove()
    tokens = sum(map(len, rows))
    return {key: value / tokens for key, value in sums.items()}, rises, base


def _graph_loss(opened: Opened, ids: Sequence[int]) -> Tensor:
    """The loss with a graph back to the embeddings: the weights themselves need no gradient."""
    given = torch.tensor([list(ids)])
    embedded = opened.model.get_input_embeddings()(given).detach().requires_grad_(True)
    logits = opened.model(inputs_embeds=embedded, use_cache=False).logits[0, :-1]
    return cross_entropy(logits.float(), given[0, 1:])


def _loss(opened: Opened, ids: Sequence[int]) -> float:
    given = torch.tensor([list(ids)])
    with torch.inference_mode():
        logits = opened.model(input_ids=given, use_cache=False).logits[0, :-1]
        return float(cross_entropy(logits.float(), given[0, 1:]))


def _key(part: Part) -> tuple[str, int]:
    return ("o" if part.kind in ("head", "attention") else "down", part.layer)


def _site(opened: Opened, part: Part) -> nn.Module:
    return _linear(opened, *_key(part))


def _linear(opened: Opened, name: str, layer: int) -> nn.Module:
    """The matrix that writes a sublayer's output: "o" of attention, "down" of the MLP."""
    return opened.model.get_submodule(f"model.layers.{layer}.{'self_attn.o_proj' if name == 'o' else 'mlp.down_proj'}")
