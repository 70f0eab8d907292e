"""A run's newest weights as a Hugging Face folder, which every export starts from.

It knows a run's folder. It refuses to know training and exports.
"""

import json
from pathlib import Path

from transformers import LlamaForCausalLM

from slipway_training.errors import CheckpointError
from slipway_training.export.onnx_folder import write_hf_folder
from slipway_training.pretrain import state
from slipway_training.pretrain.config import PretrainConfig
from slipway_training.pretrain.model import build
from slipway_training.tokenizer import END, PAD, load_tokenizer, special_id


def write_hf(run: Path, to: Path) -> Path:
    """The newest checkpoint's weights (their average, where there is one) as a Hugging Face folder; raises CheckpointError."""
    if not (run / "config.json").is_file():
        raise CheckpointError(f"{run} holds no run (no config.json)")
    kept = json.loads((run / "config.json").read_text(encoding="utf-8"))
    extra = {"tokenizer_sha256", "rows_digest"}
    config = PretrainConfig.model_validate({key: value for key, value in kept.items() if key not in extra})
    found, _, notes = state.newest(run / "checkpoints", None)
    if found is None:
        raise CheckpointError(f"{run} holds no whole checkpoint: {'; '.join(notes) or 'train it first'}")
    weights = found.tensors.get("ema", found.tensors["model"])
    tokenizer = load_tokenizer(run / "tokenizer.json")
    vocabulary = weights["llama.model.embed_tokens.weight"].shape[0]
    pad = tokenizer.token_to_id(PAD)
    end = special_id(tokenizer, END)
    context = int(json.loads((run / "shape.json").read_text(encoding="utf-8"))["context"])
    llama: LlamaForCausalLM = build(config.model, vocabulary, context, end, end if pad is None else pad, 0)
    llama.load_state_dict({key.removeprefix("llama."): value for key, value in weights.items()}, strict=False)
    write_hf_folder(llama, tokenizer, to)
    return to
