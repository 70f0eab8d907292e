"""The model that is tuned, and its tokenizer: a Hugging Face folder, or one made on the spot.

It knows safetensors only: a folder whose weights are pickles is refused. It refuses to know rows and trainers, and to reach a network.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slipway_training.config import ModelConfig
from slipway_training.data.invented import prose
from slipway_training.errors import ConfigError, StackMissing
from slipway_training.model import build_model
from slipway_training.opening import readable
from slipway_training.tokenizer import END, PAD, special_id, train_tokenizer, write_tokenizer_folder
from slipway_training.tuning.config import Base
from slipway_training.vocab.lock import digest

try:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging as transformers_logging
except ImportError as error:  # pragma: no cover - depends on the installation
    raise StackMissing(error.name or "torch", "tune") from error


@dataclass(frozen=True, slots=True)
class Opened:
    """A model in fp32, its tokenizer, and the folder that both came from."""

    model: Any
    tokenizer: Any
    folder: Path


def open_base(folder: Path) -> Opened:
    """Model and tokenizer of a Hugging Face folder; raises ConfigError when it is none, holds no safetensors, or is damaged."""
    if not (folder / "config.json").is_file():
        raise ConfigError(f"{folder} is no model folder: it has no config.json (model.base= names one, such as runs/pretrain/hf)")
    if not any(folder.glob("*.safetensors")):
        raise ConfigError(f"{folder} holds no safetensors; other formats of weights are not loaded")
    transformers_logging.disable_progress_bar()
    with readable(folder):
        model = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True, use_safetensors=True, dtype=torch.float32)
        tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    if tokenizer.chat_template is None:
        raise ConfigError(f"{folder} has no chat template: put a chat_template.jinja there")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return Opened(model, tokenizer, folder)


def make_base(shape: Base, texts: list[str], folder: Path, seed: int) -> Path:
    """A random Llama of `shape` with a byte-level BPE of `texts`, written to `folder`; nothing is made where one stands."""
    if (folder / "model.safetensors").is_file():
        return folder
    transformers_logging.disable_progress_bar()
    # A few rows hold too few words for a vocabulary; the model is random anyway.
    tokenizer = train_tokenizer([*texts, *(prose(i) for i in range(100))], shape.vocab_size)
    heads = max(1, shape.width // 32)
    model = build_model(
        ModelConfig(
            vocab_size=shape.vocab_size, width=shape.width, layers=shape.layers, heads=heads, kv_heads=heads, mlp_width=2 * shape.width,
            context_tokens=shape.context_tokens, copy_start=0.0,
        ),
        eos=special_id(tokenizer, END), pad=special_id(tokenizer, PAD), seed=seed,
    )  # fmt: skip
    model.save_pretrained(folder)
    write_tokenizer_folder(tokenizer, folder, shape.context_tokens)
    return folder


def weights_digest(folder: Path) -> str:
    """SHA-256 over the digests of a folder's safetensors: which model exactly."""
    return "+".join(digest(path) for path in sorted(folder.glob("*.safetensors")))
