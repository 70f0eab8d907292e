"""The Llama decoder of a run, and its start.

It knows Hugging Face's LlamaConfig (so that every export path works) and the copy-friendly initialisation. It refuses to know data and optimizers.
"""

from slipway_training.config import ModelConfig
from slipway_training.errors import StackMissing

try:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM
except ImportError as error:  # pragma: no cover - depends on the installation
    raise StackMissing(error.name or "torch") from error


from slipway_training.starts import copy_start


def build_model(shape: ModelConfig, eos: int, pad: int, seed: int) -> LlamaForCausalLM:
    """A fresh fp32 model with tied embeddings; the same seed gives the same weights."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=shape.vocab_size, hidden_size=shape.width, num_hidden_layers=shape.layers, intermediate_size=shape.mlp_width,
        num_attention_heads=shape.heads, num_key_value_heads=shape.kv_heads, head_dim=shape.width // shape.heads,
        max_position_embeddings=shape.context_tokens, rope_parameters={"rope_type": "default", "rope_theta": shape.rope_theta},
        tie_word_embeddings=True, attention_bias=False, mlp_bias=False, bos_token_id=None, eos_token_id=eos, pad_token_id=pad,
        initializer_range=0.02, dtype="float32",
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    model.set_attn_implementation("sdpa")
    if shape.copy_start > 0:
        copy_start(model, shape.copy_start)
    return model


def parameter_count(shape: ModelConfig) -> int:
    """Parameters of `shape`, tied embedding counted once."""
    head = shape.width // shape.heads
    attention = shape.width * head * (2 * shape.heads + 2 * shape.kv_heads)
    return shape.vocab_size * shape.width + shape.layers * (attention + 3 * shape.width * shape.mlp_width + 2 * shape.width) + shape.width
