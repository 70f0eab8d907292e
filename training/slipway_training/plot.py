"""The loss curve of a run as a small SVG.

It knows matplotlib's file backend only: nothing is shown on a screen.
"""

from collections.abc import Sequence
from pathlib import Path

from slipway_training.errors import StackMissing

WINDOW = 20


def draw_curve(history: Sequence[tuple[int, float, float]], path: Path, points: int = 300) -> None:
    """Draw (tokens, loss, share right) with a running mean of WINDOW points, thinned to about `points` so that the file stays small."""
    try:
        import matplotlib
    except ImportError as error:
        raise StackMissing("matplotlib") from error
    matplotlib.use("svg")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    thin = max(1, len(history) // points)
    tokens = [t / 1e6 for t, _, _ in history][::thin]
    for axis, column, label in ((left, 1, "loss (nats per answer token)"), (right, 2, "answer tokens right")):
        values = [float(row[column]) for row in history]
        smooth = [sum(values[max(0, i - WINDOW + 1) : i + 1]) / len(values[max(0, i - WINDOW + 1) : i + 1]) for i in range(len(values))]
        axis.plot(tokens, smooth[::thin], linewidth=1.4)
        axis.set_xlabel("million tokens")
        axis.set_title(label, fontsize=10)
        axis.grid(alpha=0.3)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
