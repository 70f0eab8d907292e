"""The numbers of a built Llama as plain numbers: its configuration types half of them as optional.

It knows LlamaConfig. It refuses to know weights.
"""

from dataclasses import dataclass

from transformers import LlamaForCausalLM


@dataclass(frozen=True, slots=True)
class Sizes:
    """The numbers of a built model that its configuration types as optional."""

    layers: int
    width: int
    heads: int
    kv_heads: int
    head_width: int
    context_tokens: int
    rope_theta: float


def sizes(model: LlamaForCausalLM) -> Sizes:
    """The sizes of `model`."""
    config = model.config
    theta = dict(config.rope_parameters or {}).get("rope_theta")
    assert config.num_key_value_heads is not None
    assert config.head_dim is not None
    assert isinstance(theta, float)
    return Sizes(
        config.num_hidden_layers, config.hidden_size, config.num_attention_heads, config.num_key_value_heads, config.head_dim,
        config.max_position_embeddings, theta,
    )  # fmt: skip
