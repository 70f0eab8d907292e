"""A Llama checkpoint opened for study: a Hugging Face folder, or one of our GGUF flavors widened to fp32.

It knows folders, tokenizers and which formats are safe to read (safetensors, GGUF). It refuses to know what is studied.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from slipway_shared.manifest import load_verified
from tokenizers import Tokenizer

from slipway_training.errors import ConfigError, StackMissing
from slipway_training.opening import readable
from slipway_training.tokenizer import load_tokenizer

try:
    import torch
    from torch import Tensor
    from transformers import LlamaForCausalLM
    from transformers.utils import logging as transformers_logging
except ImportError as error:  # pragma: no cover - depends on the installation
    raise StackMissing(error.name or "torch") from error

TOKENIZER_HOMES = ("tokenizer.json", "../tokenizer.json", "../int4-onnx/tokenizer.json")


@dataclass(frozen=True, slots=True)
class Opened:
    """An fp32 model in evaluation mode, its tokenizer, and the folder's name."""

    model: LlamaForCausalLM
    tokenizer: Tokenizer
    name: str

    @property
    def context_tokens(self) -> int:
        """The longest text that is read."""
        return self.model.config.max_position_embeddings

    def ids(self, text: str, limit: int = 0) -> list[int]:
        """Token ids, special tokens as the tokenizer adds them, cut at `limit` (0: the context)."""
        bound = min(limit or self.context_tokens, self.context_tokens)
        return self.tokenizer.encode(text).ids[:bound]

    def token(self, number: int) -> str:
        """One token as a reader sees it: blanks and breaks are shown, bytes that are no text stand as <0xNN>."""
        text = self.tokenizer.decode([number], skip_special_tokens=False)
        return text.replace("\n", "⏎").replace(" ", "·") if text and text != "�" else (self.tokenizer.id_to_token(number) or f"#{number}")


def open_checkpoint(folder: Path, tokenizer: Path | None = None) -> Opened:
    """A Llama in safetensors, or `model.gguf` of a flavor (its manifest is verified first). Raises ConfigError and ManifestError."""
    transformers_logging.disable_progress_bar()
    folder = folder.resolve()
    named = f"{folder.parent.name}/{folder.name}"
    home = tokenizer or next((path for path in (folder / home for home in TOKENIZER_HOMES) if path.is_file()), None)
    if home is None or not home.is_file():
        raise ConfigError(f"no tokenizer.json in or beside {folder}; name one with --tokenizer")
    if (folder / "manifest.json").is_file():
        load_verified(folder)
    with readable(folder):
        if (folder / "model.gguf").is_file():
            model = LlamaForCausalLM.from_pretrained(folder, gguf_file="model.gguf", local_files_only=True, dtype=torch.float32)
        else:
            model = _safetensors(folder)
    model.set_attn_implementation("sdpa")
    return Opened(model.eval().requires_grad_(False), load_tokenizer(home), named)


def _safetensors(folder: Path) -> LlamaForCausalLM:
    path = folder / "config.json"
    if not path.is_file() or not any(folder.glob("*.safetensors")):
        raise ConfigError(f"{folder} is no Hugging Face folder: config.json and *.safetensors are wanted (the hf/ of a run), or model.gguf")
    kind = json.loads(path.read_text(encoding="utf-8")).get("model_type")
    if kind != "llama":
        raise ConfigError(f"{folder} holds a {kind}; Llama models are understood here")
    return LlamaForCausalLM.from_pretrained(folder, use_safetensors=True, local_files_only=True, dtype=torch.float32)


def hidden_states(model: LlamaForCausalLM, ids: Sequence[int]) -> "list[Tensor]":
    """The residual stream of one text after the embedding and after each layer, before the last norm: layers + 1 tensors (tokens, width)."""
    stream: list[Tensor] = []
    hooks = [model.model.layers[0].register_forward_pre_hook(lambda _m, inputs: stream.append(inputs[0][0]))]
    hooks += [layer.register_forward_hook(lambda _m, _i, output: stream.append(output[0])) for layer in model.model.layers]
    try:
        with torch.inference_mode():
            model.model(input_ids=torch.tensor([list(ids)]))
    finally:
        for hook in hooks:
            hook.remove()
    return stream
