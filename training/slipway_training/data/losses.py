"""The loss of a model on every packed row: what loss-aware sampling starts from.

It knows Hugging Face folders and batches. It refuses to know how losses become weights, and never loads a pickle.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from slipway_training.data.packed import Packed
from slipway_training.errors import ConfigError, DataMissing, StackMissing
from slipway_training.opening import readable

try:
    import torch
    from torch.nn import functional
    from transformers import AutoModelForCausalLM
except ImportError as error:  # pragma: no cover - depends on the installation
    raise StackMissing(error.name or "torch") from error


def row_losses(packed: Packed, model: Path, batch_rows: int, advance: Callable[[int], None]) -> NDArray[np.float32]:
    """Mean cross-entropy per label in nats for each row, `(rows,)`, by the model in `model` (config.json, safetensors), on a GPU where there is one.

    Raises DataMissing when the folder is not a model, ConfigError when it is damaged or its vocabulary is smaller than the rows'.
    """
    if not (model / "config.json").is_file():
        raise DataMissing(f"{model} holds no config.json: give the hf/ folder of a run")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    with readable(model):
        loaded = AutoModelForCausalLM.from_pretrained(model, use_safetensors=True, dtype=torch.float32, local_files_only=True)
    network = cast("torch.nn.Module", loaded).to(device).eval()
    config = cast("Any", network.config)
    if config.vocab_size < packed.vocab_size:
        raise ConfigError(
            f"the model has {config.vocab_size} tokens, the rows have {packed.vocab_size}: it was trained with another tokenizer"
        )
    out = np.zeros(len(packed), np.float32)
    with torch.inference_mode():
        for first in range(0, len(packed), batch_rows):
            numbers = np.arange(first, min(len(packed), first + batch_rows))
            rows = torch.from_numpy(packed.rows(numbers).astype(np.int64)).to(device)
            logits = network(input_ids=rows[:, :-1], use_cache=False).logits.float()
            each = functional.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten(), reduction="none")
            out[numbers] = each.view(len(numbers), -1).mean(1).cpu().numpy()
            advance(len(numbers))
    return out
