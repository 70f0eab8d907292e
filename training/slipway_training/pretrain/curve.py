"""The curves of a run's log as a small SVG: loss and held-out loss, learning rate and gradient norm. It refuses to know training."""

import json
from pathlib import Path

from slipway_training.errors import StackMissing

POINTS = 400


def draw_log(log: Path, path: Path) -> None:
    """Draw `log` (log.jsonl) into `path`, thinned so that the file stays small."""
    try:
        import matplotlib
    except ImportError as error:
        raise StackMissing("matplotlib") from error
    matplotlib.use("svg")
    from matplotlib.figure import Figure

    steps = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    thin = steps[:: max(1, len(steps) // POINTS)]
    left.plot([s["tokens"] / 1e6 for s in thin], [s["loss"] for s in thin], linewidth=1.0, label="training")
    held = [s for s in steps if s.get("held_out") is not None]
    left.plot([s["tokens"] / 1e6 for s in held], [s["held_out"] for s in held], linewidth=1.4, label="held out")
    left.set_title("loss (nats a token)", fontsize=10)
    left.legend(fontsize=8)
    right.plot([s["tokens"] / 1e6 for s in thin], [s["grad_norm"] for s in thin], linewidth=1.0, label="gradient norm")
    right.plot([s["tokens"] / 1e6 for s in thin], [s["lr"] * 1e3 for s in thin], linewidth=1.0, label="learning rate x 1000")
    right.legend(fontsize=8)
    for axis in (left, right):
        axis.set_xlabel("million tokens")
        axis.grid(alpha=0.3)
    figure.savefig(path, metadata={"Date": None})
