"""From a trained pointer to its flavors: an ONNX graph that finds spans, in fp32 and in int8, each held against its parent.

It knows the exporter, dynamic quantization and the files of a flavor. It refuses to know training and scores.
"""

import json
import shutil
import time
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from slipway_shared import manifest
from tokenizers import Tokenizer

from slipway_training.errors import ExportError
from slipway_training.pointer.model import Pointer, SpanFinder

INPUTS = ("input_ids", "attention_mask", "token_type_ids")
OUTPUTS = ("start", "end", "score", "none")
FILES = ("model.onnx", "tokenizer.json", "pointer.json")
TOLERANCE = 2e-3
"""Largest difference of a score between torch and the fp32 graph, in nats."""


def export_pointer(
    model: Pointer, tokenizer: Tokenizer, to: Path, name: str, flavors: Sequence[str], decision: dict[str, float | int]
) -> list[Path]:
    """One folder a flavor below `to`; `decision` is written into pointer.json (thresholds and sizes). Raises ExportError when a graph differs."""
    work = to / ".fp32"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    finder = SpanFinder(model).eval()
    plain = work / "model.onnx"
    _trace(finder, plain)
    _compare(finder, plain, model.bert.config.vocab_size)
    written = [_write(plain, to / flavor, flavor, tokenizer, name, decision) for flavor in flavors]
    shutil.rmtree(work)
    return written


def _trace(finder: SpanFinder, path: Path) -> None:
    mask = torch.tensor([[1] * 12, [1] * 9 + [0] * 3])  # a mask of ones alone would be traced away
    ids = torch.ones_like(mask)
    types = torch.tensor([[0] * 4 + [1] * 8, [0] * 4 + [1] * 5 + [0] * 3])
    axes = {n: {0: "pairs", 1: "length"} for n in INPUTS} | {n: {0: "pairs"} for n in OUTPUTS}
    finder.pointer.bert.set_attn_implementation("eager")  # a fused one is traced without its padding mask
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            finder,
            (ids, mask, types),
            str(path),
            input_names=list(INPUTS),
            output_names=list(OUTPUTS),
            dynamic_axes=axes,
            opset_version=17,
            dynamo=False,
        )


def _compare(finder: SpanFinder, path: Path, vocabulary: int) -> None:
    """The traced graph against torch on padded pairs of other sizes than the traced ones."""
    import onnxruntime

    rng = np.random.default_rng(5)
    ids = rng.integers(5, vocabulary, (3, 40))
    mask, types = np.ones_like(ids), np.zeros_like(ids)
    for row, (question, length) in enumerate(((6, 40), (9, 31), (4, 17))):
        mask[row, length:], ids[row, length:], types[row, question:length] = 0, 0, 1
    feeds: dict[str, NDArray[np.int64]] = dict(zip(INPUTS, (ids, mask, types), strict=True))
    got = onnxruntime.InferenceSession(str(path)).run(list(OUTPUTS), feeds)
    with torch.inference_mode():
        wanted = finder(*(torch.from_numpy(feeds[n]) for n in INPUTS))
    worst = max(float(np.abs(np.asarray(g, dtype=np.float64) - w.numpy()).max()) for g, w in zip(got[2:], wanted[2:], strict=True))
    if worst > TOLERANCE or any((np.asarray(g) != w.numpy()).any() for g, w in zip(got[:2], wanted[:2], strict=True)):
        raise ExportError(f"the exported graph differs from the model by {worst:.2g}")


def _write(plain: Path, folder: Path, flavor: str, tokenizer: Tokenizer, name: str, decision: dict[str, float | int]) -> Path:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    folder.mkdir(parents=True, exist_ok=True)
    match flavor:
        case "fp32":
            shutil.copyfile(plain, folder / "model.onnx")
        case "int8":
            quantize_dynamic(str(plain), str(folder / "model.onnx"), per_channel=True, weight_type=QuantType.QInt8)
        case other:
            raise ExportError(f"a pointer has the flavors fp32 and int8, not {other!r}")
    tokenizer.no_truncation()
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    (folder / "pointer.json").write_text(json.dumps(decision, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    files = tuple(manifest.describe_file(folder, path) for path in FILES)
    manifest.write_manifest(
        folder,
        manifest.Manifest(
            model=name, flavor=flavor, engine="pointer", kind="reader", entry=".", files=files, device_classes=("x86", "arm", "mobile"), context_tokens=8192,
            memory_floor_mb=max(64, 3 * sum(file.bytes for file in files) >> 20), created=int(time.time()),
        ),
    )  # fmt: skip
    return folder
