"""Trains the safety heads: `python training/recipes/safety/train.py --out FOLDER [--data FOLDER]`.

Two small readers of one text: a linear one over hashed word sequences, and one hidden layer over MiniLM's frozen states. Their logits are added by a
logistic calibration per head on the development templates and rows. Features come from the service's own program, run as a process, so that training
sees what serving computes, int8 included. Writes heads.safetensors and report.json.
"""

# pyright: reportMissingImports=false, reportUnknownParameterType=false
# (a recipe is a folder of scripts, not a package: `rows` stands beside this file)

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from numpy.typing import NDArray
from rows import HEADS, Row, collect
from safetensors.numpy import save_file

HERE = Path(__file__).parent
BUCKETS = 1 << 15


class Features:
    """[rows, taps * 384] states, and each row's buckets."""

    def __init__(self, file: Path) -> None:
        with np.load(file) as data:
            self.pooled = torch.from_numpy(data["pooled"].astype(np.float32))
            self.buckets = torch.from_numpy(data["buckets"])
            self.offsets = torch.from_numpy(data["offsets"])

    def bags(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The buckets of `rows` one after another, and where each row's begin."""
        parts = [self.buckets[self.offsets[i] : self.offsets[i + 1]] for i in rows.tolist()]
        starts = np.cumsum([0, *(len(part) for part in parts)])[:-1]
        return torch.cat(parts), torch.from_numpy(starts)


def features(rows: Sequence[Row], taps: Sequence[int], cache: Path) -> Features:
    """Computed by the service's program in a process of its own."""
    with tempfile.TemporaryDirectory() as scratch:
        lines, out = Path(scratch) / "lines.jsonl", Path(scratch) / "out.npz"
        lines.write_text("\n".join(json.dumps(row.text) for row in rows), encoding="utf-8")
        command = [sys.executable, "-m", "slipway_safety_filter.features", str(lines), str(out), str(cache), *map(str, taps)]
        subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
        return Features(out)


def targets(rows: Sequence[Row]) -> tuple[torch.Tensor, torch.Tensor]:
    """Labels, and which of them are known."""
    y = torch.tensor([[float(row.labels.get(head, 0)) for head in HEADS] for row in rows])
    known = torch.tensor([[float(head in row.labels) for head in HEADS] for row in rows])
    return y, known


def _loss(logits: torch.Tensor, y: torch.Tensor, known: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    each = torch.nn.functional.binary_cross_entropy_with_logits(logits, y, pos_weight=weight, reduction="none")
    return (each * known).sum() / known.sum()


class Dense(torch.nn.Module):
    """Scaled states -> one hidden layer -> logits."""

    def __init__(self, width: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.inner = torch.nn.Linear(width, hidden)
        self.outer = torch.nn.Linear(hidden, len(HEADS))
        self.dropout = torch.nn.Dropout(dropout)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        return self.outer(self.dropout(torch.relu(self.inner(self.dropout(states)))))


def train_dense(x: torch.Tensor, y: torch.Tensor, known: torch.Tensor, weight: torch.Tensor, config: Mapping[str, Any]) -> Dense:
    """AdamW over shuffled batches of 256."""
    model = Dense(x.shape[1], config["hidden"], config["dropout"])
    optimizer = torch.optim.AdamW(model.parameters(), lr=config["rate"], weight_decay=config["decay"])
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, config["rate"], total_steps=config["epochs"] * (len(x) // 256 + 1))
    for _ in range(config["epochs"]):
        for batch in torch.randperm(len(x)).split(256):
            optimizer.zero_grad()
            _loss(model(x[batch]), y[batch], known[batch], weight).backward()
            optimizer.step()
            schedule.step()
    return model.eval()


def train_sparse(
    data: Features, rows: torch.Tensor, y: torch.Tensor, known: torch.Tensor, weight: torch.Tensor, config: Mapping[str, Any]
) -> torch.nn.EmbeddingBag:
    """A linear reader of buckets, mean over the bag, with an L1 pull to zero after every epoch (small file, fewer accidents)."""
    bag = torch.nn.EmbeddingBag(BUCKETS, len(HEADS), mode="sum")
    torch.nn.init.zeros_(bag.weight)
    optimizer = torch.optim.Adam(bag.parameters(), lr=config["rate"])
    for _ in range(config["epochs"]):
        for batch in torch.randperm(len(rows)).split(256):
            buckets, starts = data.bags(rows[batch])
            optimizer.zero_grad()
            scale = torch.sqrt(torch.diff(starts, append=torch.tensor([len(buckets)])).float().clamp(min=1))[:, None]
            _loss(bag(buckets, starts) / scale, y[batch], known[batch], weight).backward()
            optimizer.step()
            with torch.no_grad():
                bag.weight.copy_(torch.sign(bag.weight) * torch.clamp(bag.weight.abs() - config["l1"] * 10, min=0))
    return bag.eval()


def sparse_logits(data: Features, bag: torch.nn.EmbeddingBag, rows: torch.Tensor) -> torch.Tensor:
    """Logits of the linear reader."""
    out: list[torch.Tensor] = []
    with torch.no_grad():
        for batch in rows.split(1024):
            buckets, starts = data.bags(batch)
            scale = torch.sqrt(torch.diff(starts, append=torch.tensor([len(buckets)])).float().clamp(min=1))[:, None]
            out.append(bag(buckets, starts) / scale)
    return torch.cat(out)


def calibrate(dense: torch.Tensor, sparse: torch.Tensor, y: torch.Tensor, known: torch.Tensor) -> NDArray[np.float32]:
    """[heads, 3]: weights of the dense and the sparse logit, and the bias, by logistic regression on the development rows."""
    out = np.zeros((len(HEADS), 3), dtype=np.float32)
    for head in range(len(HEADS)):
        mask = known[:, head] > 0
        x = torch.stack([dense[mask, head], sparse[mask, head]], 1)
        w, b = torch.tensor([0.5, 0.5], requires_grad=True), torch.zeros(1, requires_grad=True)
        optimizer = torch.optim.LBFGS([w, b], max_iter=100)

        def closure(x: torch.Tensor = x, w: torch.Tensor = w, b: torch.Tensor = b, target: torch.Tensor = y[mask, head]) -> torch.Tensor:
            optimizer.zero_grad()  # noqa: B023 - called before the next turn
            logits = x @ w.abs() + b
            loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, target) + 0.01 * (w**2).sum()
            loss.backward()
            return loss

        optimizer.step(closure)
        out[head] = [*w.abs().detach().numpy(), *b.detach().numpy()]
    return out


def auc(scores: NDArray[np.float32], y: NDArray[np.float32]) -> float:
    """Area under the ROC curve by ranks."""
    order = np.argsort(scores, kind="stable")
    ranks = np.empty(len(scores))
    ranks[order] = np.arange(1, len(scores) + 1)
    positives = y > 0.5
    n, m = positives.sum(), (~positives).sum()
    return float((ranks[positives].sum() - n * (n + 1) / 2) / max(1, n * m))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", type=Path, default=Path(os.environ["SLIPWAY_DATA_DIR"]) if os.environ.get("SLIPWAY_DATA_DIR") else None)
    parser.add_argument("--cache", type=Path, default=Path(".slipway/safety"))
    args = parser.parse_args()
    config = yaml.safe_load((HERE / "config.yaml").read_text(encoding="utf-8"))
    torch.manual_seed(config["seed"])
    rows = collect(args.data, config)
    data = features(rows, config["taps"], args.cache)
    fit(rows, data, config, args.out)


def fit(rows: Sequence[Row], data: Features, config: Mapping[str, Any], out: Path) -> None:
    """Trains, calibrates, writes."""
    y, known = targets(rows)
    held = torch.tensor([row.development for row in rows])
    train, dev = torch.nonzero(~held)[:, 0], torch.nonzero(held)[:, 0]
    weight = (((1 - y) * known)[train].sum(0) / (y * known)[train].sum(0).clamp(min=1)).clamp(1, 8)
    mean, spread = data.pooled[train].mean(0), data.pooled[train].std(0).clamp(min=1e-3)
    x = (data.pooled - mean) / spread
    dense = train_dense(x[train], y[train], known[train], weight, config["dense"])
    sparse = train_sparse(data, train, y[train], known[train], weight, config["sparse"])
    with torch.no_grad():
        d, s = dense(x[dev]), sparse_logits(data, sparse, dev)
    mix = calibrate(d, s, y[dev], known[dev])
    scores = torch.sigmoid(d * torch.from_numpy(mix[:, 0]) + s * torch.from_numpy(mix[:, 1]) + torch.from_numpy(mix[:, 2])).numpy()
    report: dict[str, Any] = {"rows": len(rows), "development_rows": len(dev), "sources": sorted({row.source for row in rows}), "heads": {}}
    for i, head in enumerate(HEADS):
        mask = known[dev][:, i].numpy() > 0
        report["heads"][head] = {
            "auc": round(auc(scores[mask, i], y[dev][:, i].numpy()[mask]), 4),
            "auc_dense": round(auc(d[:, i].numpy()[mask], y[dev][:, i].numpy()[mask]), 4),
            "auc_sparse": round(auc(s[:, i].numpy()[mask], y[dev][:, i].numpy()[mask]), 4),
            "positives": int((y[dev][:, i] * known[dev][:, i]).sum()),
        }
    out.mkdir(parents=True, exist_ok=True)
    # The scaling of the states is folded into the first layer, so that serving multiplies once.
    inner = dense.inner.weight.detach() / spread
    bias = dense.inner.bias.detach() - inner @ mean
    tensors = {
        "inner.weight": inner.half(),
        "inner.bias": bias.float(),
        "outer.weight": dense.outer.weight.detach().float(),
        "outer.bias": dense.outer.bias.detach().float(),
    }
    scale = sparse.weight.detach().abs().amax(0).clamp(min=1e-6) / 127
    tensors |= {
        "sparse.weight": torch.round(sparse.weight.detach() / scale).to(torch.int8),
        "sparse.scale": scale,
        "mix": torch.from_numpy(mix),
    }
    meta = {"heads": json.dumps(HEADS), "taps": json.dumps(config["taps"]), "format": "1"}
    save_file({name: tensor.contiguous().numpy() for name, tensor in tensors.items()}, out / "heads.safetensors", metadata=meta)
    (out / "report.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(json.dumps(report["heads"], indent=1) + "\n")


if __name__ == "__main__":
    main()
