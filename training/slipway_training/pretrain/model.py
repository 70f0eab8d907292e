"""The decoder of a run: a Hugging Face Llama of a given shape, its start, and stochastic depth.

It knows LlamaConfig, so that every export path works, and initialisations. It refuses to know data and optimizers (muP's learning rates stand in optim.py).
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM

from slipway_training.pretrain.attention import use_causal_attention
from slipway_training.pretrain.config import ModelConfig
from slipway_training.pretrain.norm import use_piece_norms

WRITES = ("o_proj.weight", "down_proj.weight")
"""Matrices that add to the residual stream."""


def build(shape: ModelConfig, vocab_size: int, context: int, eos: int, pad: int, seed: int) -> LlamaForCausalLM:
    """A fresh fp32 model; the same seed gives the same weights. `context` in tokens."""
    config = LlamaConfig(
        vocab_size=vocab_size, hidden_size=shape.width, num_hidden_layers=shape.layers, intermediate_size=shape.mlp_width,
        num_attention_heads=shape.heads, num_key_value_heads=shape.kv_heads, head_dim=shape.width // shape.heads,
        max_position_embeddings=context, rope_parameters={"rope_type": "default", "rope_theta": rope_theta(shape)},
        tie_word_embeddings=shape.tied, attention_bias=False, mlp_bias=False, bos_token_id=None, eos_token_id=eos, pad_token_id=pad,
        initializer_range=shape.init_std, dtype="float32", use_cache=False,
    )  # fmt: skip
    torch.manual_seed(seed)
    model = LlamaForCausalLM(config)
    use_causal_attention(model)
    use_piece_norms(model)
    start(model, shape, seed)
    return model


def rope_theta(shape: ModelConfig) -> float:
    """The base of the rotary angles after the NTK-aware stretch (bloc97 2023; Peng et al. 2023, arXiv 2309.00071, section 3.1)."""
    head = shape.width // shape.heads
    return shape.rope_theta * shape.rope_ntk ** (head / (head - 2)) if head > 2 else shape.rope_theta * shape.rope_ntk


@torch.no_grad()
def start(model: LlamaForCausalLM, shape: ModelConfig, seed: int) -> None:
    """Draw every matrix anew by `shape.init`; norms stay at one.

    scaled: Radford et al. 2019, residual writers by 1/sqrt(2 layers). mup: Yang et al. 2022 (arXiv 2203.03466), table 3: hidden matrices keep the variance
    1/fan-in of the base width, the output matrix shrinks by base/width.
    """
    generator = torch.Generator().manual_seed(seed)
    shrink = shape.base_width / shape.width
    for name, weight in model.named_parameters():
        if weight.ndim < 2:
            weight.fill_(1.0)
            continue
        std = shape.init_std
        if shape.init != "normal" and name.endswith(WRITES):
            std /= math.sqrt(2 * shape.layers)
        if shape.init == "mup" and "embed_tokens" not in name:
            std *= shrink if "lm_head" in name else math.sqrt(shrink)
        weight.copy_(torch.randn(weight.shape, generator=generator) * std)


def drop_layers(layers: Sequence[nn.Module], highest: float) -> None:
    """Stochastic depth (Huang et al. 2016, arXiv 1603.09382): in training, layer l of L is passed over for a row with chance highest * l / (L - 1).

    What a row keeps is scaled by 1/(1 - chance), so evaluation and export need no change. The layer is computed either way: this regularises, it saves nothing.
    """
    for index, layer in enumerate(layers):
        chance = highest * index / max(1, len(layers) - 1)
        if chance > 0:
            layer.register_forward_hook(_passed_over(chance))


def _passed_over(chance: float) -> Any:
    def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        if not module.training:
            return output
        kept = (torch.rand(output.shape[0], 1, 1, device=output.device) >= chance).to(output.dtype)
        return inputs[0] + (output - inputs[0]) * kept / (1 - chance)

    return hook


def parameter_count(shape: ModelConfig, vocab_size: int) -> int:
    """Parameters of `shape`; a tied embedding counts once."""
    head = shape.width // shape.heads
    attention = shape.width * head * (2 * shape.heads + 2 * shape.kv_heads)
    layer = attention + 3 * shape.width * shape.mlp_width + 2 * shape.width
    return vocab_size * shape.width * (1 if shape.tied else 2) + shape.layers * layer + shape.width


def flops_per_token(shape: ModelConfig, vocab_size: int, context: int, *, causal: bool = True) -> float:
    """Forward and backward: 6 a parameter that is multiplied (Kaplan et al. 2020, arXiv 2001.08361), and 6 * layers * width * context of causal attention.

    Not `causal`: 12, the whole square, as PaLM's appendix B counts (Chowdhery et al. 2022, arXiv 2204.02311) and most published figures of MFU do.
    """
    multiplied = parameter_count(shape, vocab_size) - (0 if shape.tied else vocab_size * shape.width)
    return 6.0 * multiplied + (6.0 if causal else 12.0) * shape.layers * shape.width * context
