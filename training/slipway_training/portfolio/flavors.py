"""The flavors of a model as they are served on a CPU: size, time to load, memory, speed of reading and of writing, and what each costs in loss.

It knows GGUF flavors and how each is measured in a process of its own. It refuses to know training and plots.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, models, pre_tokenizers

from slipway_training.errors import ExportError
from slipway_training.evaluation.readers import LlamaCppModel
from slipway_training.evaluation.scores import Figure, paired
from slipway_training.export.gguf_file import write_gguf
from slipway_training.export.quantize import quantize_gguf
from slipway_training.pretrain.config import PretrainConfig
from slipway_training.pretrain.model import build
from slipway_training.tokenizer import END, PAD, load_tokenizer, special_id

try:
    from transformers import LlamaForCausalLM
except ImportError as error:  # pragma: no cover - depends on the installation
    from slipway_training.errors import StackMissing

    raise StackMissing("transformers") from error

NAMES = ("f16", "int8", "int4")
ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Cost:
    """One flavor, medians of ROUNDS processes: `load_ms` from path to first logits, `rss_mb` after writing, tokens/s of reading a prompt and of writing."""

    flavor: str
    bytes: int
    load_ms: float
    rss_mb: float
    prefill_tokens_per_second: float
    decode_tokens_per_second: float


def export_flavors(model: LlamaForCausalLM, tokenizer: Tokenizer, to: Path, name: str) -> dict[str, Path]:
    """f16, int8 (Q8_0) and int4 (Q4_0) as GGUF files in `to`; raises ExportError."""
    paths = {flavor: to / f"{flavor}.gguf" for flavor in NAMES}
    write_gguf(model, tokenizer, paths["f16"], name)
    quantize_gguf(paths["f16"], paths["int8"], "q8_0")
    quantize_gguf(paths["f16"], paths["int4"], "q4_0")
    return paths


def of_folder(hf: Path, to: Path) -> dict[str, Path]:
    """The flavors of a run's hf/ folder."""
    return export_flavors(
        LlamaForCausalLM.from_pretrained(hf, local_files_only=True), load_tokenizer(hf / "tokenizer.json"), to, "slipway-base"
    )


def of_shape(config: PretrainConfig, context: int, to: Path) -> dict[str, Path]:
    """The flavors of an untrained model of that shape: size, memory and speed do not depend on the weights' values."""
    tokenizer = _padded(config.model.vocab_size)
    llama = build(config.model, config.model.vocab_size, context, special_id(tokenizer, END), special_id(tokenizer, PAD), 0)
    return export_flavors(llama, tokenizer, to, config.name)


def measure(paths: dict[str, Path], context: int, prompt: int, write: int, threads: int) -> list[Cost]:
    """Every flavor in turn, round by round, each time in a new process; raises ExportError with its last words."""
    runs: dict[str, list[dict[str, float]]] = {flavor: [] for flavor in paths}
    for _ in range(ROUNDS):
        for flavor, path in paths.items():
            words = [sys.executable, "-m", "slipway_training.portfolio.serve_once", str(path), *map(str, (context, prompt, write, threads))]
            done = subprocess.run(words, capture_output=True, text=True, check=False)
            if done.returncode:
                raise ExportError(f"{path.name} could not be measured: {done.stderr.strip()[-400:]}")
            runs[flavor].append(json.loads(done.stdout.strip().splitlines()[-1]))
    return [
        Cost(flavor, paths[flavor].stat().st_size, **{key: float(np.median([r[key] for r in made])) for key in made[0]})
        for flavor, made in runs.items()
    ]


def losses(paths: dict[str, Path], rows: "np.ndarray[tuple[int, int], np.dtype[np.int32]]") -> dict[str, list[float]]:
    """By flavor the loss of each row in nats a token, through llama.cpp."""
    out: dict[str, list[float]] = {}
    for flavor, path in paths.items():
        model = LlamaCppModel(path, rows.shape[1])
        out[flavor] = [_loss(model, row.tolist()) for row in rows]
    return out


def loss_gaps(by_flavor: dict[str, list[float]]) -> dict[str, Figure]:
    """Each flavor's loss over the f16 parent's, paired by row, with its bootstrap interval."""
    return {flavor: paired(values, by_flavor["f16"]) for flavor, values in by_flavor.items() if flavor != "f16"}


def _loss(model: LlamaCppModel, ids: Sequence[int]) -> float:
    logits = model.logits(ids[:-1]).astype(np.float64)
    top = logits.max(axis=1)
    norm = top + np.log(np.exp(logits - top[:, None]).sum(axis=1))
    return float((norm - logits[np.arange(len(ids) - 1), ids[1:]]).mean())


def _padded(vocabulary: int) -> Tokenizer:
    """A tokenizer of exactly that many tokens: bytes, ours, the one merge that llama.cpp wants at least, and fillers that are never met."""
    from slipway_training.tokenizer import SPECIALS, train_tokenizer

    small = json.loads(train_tokenizer(["ab ab"], 256 + len(SPECIALS) + 1).to_str())["model"]
    filled = {**small["vocab"], **{f"<filler {i}>": i for i in range(len(small["vocab"]), vocabulary)}}
    tokenizer = Tokenizer(models.BPE(filled, [(left, right) for left, right in small["merges"]]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)  # type: ignore[assignment]  # the split that llama.cpp knows
    return tokenizer
