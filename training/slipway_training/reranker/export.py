"""From a checkpoint to what SLIPWAY_RERANKER_SCORER reads: `python export.py CHECKPOINT --out FOLDER`.

Writes model.onnx (int8 per channel), tokenizer.json and the digests of both in digests.json; `python -m slipway_reranker.calibrate` adds calibration.json.
"""

import argparse
import hashlib
import json
import shutil
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from model import Reranker

NAMES = ("input_ids", "attention_mask", "token_type_ids")


def main(argv: Sequence[str] | None = None) -> int:
    """Export one checkpoint."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    wanted = parser.parse_args(argv)
    error = export(Reranker.read(wanted.checkpoint).eval(), wanted.checkpoint, wanted.out)
    seal(wanted.out)
    sys.stdout.write(f"{wanted.out}: {(wanted.out / 'model.onnx').stat().st_size:,} bytes, fp32 graph within {error:.1e} of the model\n")
    return 0


def export(scorer: Reranker, checkpoint: Path, out: Path) -> float:
    """The graph in int8; answers the largest difference of the fp32 graph to the model on padded input, and stops where it is no rounding error."""
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
        raise SystemExit(f"the exported graph differs from the model by {error:.2g}")
    quantize_dynamic(str(plain), str(out / "model.onnx"), per_channel=True, weight_type=QuantType.QInt8)
    plain.unlink()
    shutil.copyfile(checkpoint / "tokenizer.json", out / "tokenizer.json")
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
    found = [name for name in ("model.onnx", "tokenizer.json", "calibration.json") if (out / name).is_file()]
    digests = {name: hashlib.sha256((out / name).read_bytes()).hexdigest() for name in found}
    (out / "digests.json").write_text(json.dumps({"files": digests}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
