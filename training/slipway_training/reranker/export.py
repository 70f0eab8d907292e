"""From a network to what SLIPWAY_RERANKER_SCORER reads: model.onnx (int8 per channel), tokenizer.json, and the digests of both in digests.json.

It knows the exporter, the quantizer and that the graph must say what the network says. It refuses to know training; `slipway_reranker.calibrate` adds calibration.json.
"""

import hashlib
import json
import shutil
import warnings
from pathlib import Path

import numpy as np
import torch

from slipway_training.errors import ExportError
from slipway_training.reranker.model import Reranker

NAMES = ("input_ids", "attention_mask", "token_type_ids")
READ = ("model.onnx", "tokenizer.json", "reading.json", "calibration.json")


def export(scorer: Reranker, tokenizer: Path, out: Path) -> float:
    """The graph in int8; answers the largest difference of the fp32 graph to the model on padded input. Raises ExportError where that is no rounding error."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    out.mkdir(parents=True, exist_ok=True)
    plain = out / "fp32.onnx"
    mask = torch.tensor([[1] * 8, [1] * 5 + [0] * 3])  # a mask of ones alone would be traced away
    ids = torch.ones_like(mask)
    axes = {name: {0: "batch", 1: "sequence"} for name in NAMES} | {"logits": {0: "batch"}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            scorer, (ids, mask, torch.zeros_like(ids)), str(plain), input_names=list(NAMES), output_names=["logits"],
            dynamic_axes=axes, opset_version=20, dynamo=False,
        )  # fmt: skip
    error = _difference(plain, scorer)
    if error > 1e-4:
        raise ExportError(f"the exported graph differs from the model by {error:.2g}")
    quantize_dynamic(str(plain), str(out / "model.onnx"), per_channel=True, weight_type=QuantType.QInt8)
    plain.unlink()
    shutil.copyfile(tokenizer, out / "tokenizer.json")
    return error


def _difference(graph: Path, scorer: Reranker) -> float:
    import onnxruntime

    mask = torch.tensor([[1] * 11, [1] * 4 + [0] * 7])
    ids = torch.arange(22).reshape(2, 11) % 5
    types = (torch.arange(11)[None, :] > 2).long() * mask
    feeds = {name: tensor.numpy() for name, tensor in zip(NAMES, (ids, mask, types), strict=True)}
    got = onnxruntime.InferenceSession(str(graph)).run(["logits"], feeds)[0]
    with torch.inference_mode():
        return float(np.abs(np.asarray(got) - scorer(ids, mask, types).numpy()).max())


def seal(out: Path) -> None:
    """Write the digests of all files that the service reads."""
    found = [name for name in READ if (out / name).is_file()]
    digests = {name: hashlib.sha256((out / name).read_bytes()).hexdigest() for name in found}
    (out / "digests.json").write_text(json.dumps({"files": digests}, indent=1) + "\n", encoding="utf-8")
