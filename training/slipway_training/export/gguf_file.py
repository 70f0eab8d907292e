"""A Hugging Face Llama with our tokenizer as a GGUF file.

It knows tensor names and the rotary permutation. It refuses to quantize (see `quantize`) and to know vocabularies (see `gguf_vocabulary`).
The stock converter refuses self-trained BPE ("BPE pre-tokenizer was not recognized"), so this is our own.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from slipway_training.errors import StackMissing
from slipway_training.sizes import sizes

try:
    import gguf
    from transformers import LlamaForCausalLM

    from slipway_training.export.gguf_vocabulary import write_vocabulary
except ImportError as error:  # pragma: no cover - depends on the installation
    raise StackMissing(error.name or "gguf") from error

_LAYER = {
    "attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj", "ffn_norm": "post_attention_layernorm", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}  # fmt: skip


def write_gguf(model: LlamaForCausalLM, tokenizer: Tokenizer, path: Path, name: str) -> None:
    """Write `model` as f16 (norms f32). With tied embeddings there is no output tensor: llama.cpp reads the embedding for it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(path, "llama")
    _write_shape(writer, model, name)
    write_vocabulary(writer, tokenizer)
    weights = {key: value.detach().float().numpy() for key, value in model.state_dict().items()}
    writer.add_tensor("token_embd.weight", weights["model.embed_tokens.weight"].astype(np.float16))
    if not model.config.tie_word_embeddings:
        writer.add_tensor("output.weight", weights["lm_head.weight"].astype(np.float16))
    writer.add_tensor("output_norm.weight", weights["model.norm.weight"])
    numbers = sizes(model)
    for layer in range(numbers.layers):
        for ours, theirs in _LAYER.items():
            tensor = weights[f"model.layers.{layer}.{theirs}.weight"]
            if ours == "attn_q":
                tensor = permute(tensor, numbers.heads)
            elif ours == "attn_k":
                tensor = permute(tensor, numbers.kv_heads)
            writer.add_tensor(f"blk.{layer}.{ours}.weight", tensor if tensor.ndim == 1 else tensor.astype(np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def permute(weight: "NDArray[np.float32]", heads: int) -> "NDArray[np.float32]":
    """Rows from Hugging Face's half-split rotary order to llama.cpp's interleaved one; shape (heads * size, width) stays."""
    return weight.reshape(heads, 2, weight.shape[0] // heads // 2, weight.shape[1]).swapaxes(1, 2).reshape(weight.shape)


def _write_shape(writer: "gguf.GGUFWriter", model: LlamaForCausalLM, name: str) -> None:
    config = model.config
    numbers = sizes(model)
    writer.add_name(name)
    writer.add_license("Apache-2.0")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(numbers.kv_heads)
    writer.add_rope_dimension_count(config.hidden_size // config.num_attention_heads)
    writer.add_rope_freq_base(numbers.rope_theta)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
