"""What a run of the safety recipe costs on this machine, measured on a few texts before it starts.

It knows the probe and the extrapolation. It refuses to write into the run's folder.
"""

import tempfile
import time
from pathlib import Path

from slipway_training.safety.config import SafetyConfig
from slipway_training.safety.recipe import features
from slipway_training.safety.rows import collect, data_folder
from slipway_training.safety.templates import HEADS

PROBE = 96
FIT_SECONDS = 3e-5
"""One row in one epoch of both readers, measured on one core; small beside reading the texts."""


def plan(config: SafetyConfig) -> list[tuple[str, str]]:
    """(what, value) rows; raises DataMissing and TrainingError."""
    rows = collect(config)
    with tempfile.TemporaryDirectory() as scratch:
        times: list[float] = []
        for count in (PROBE, 3 * PROBE):
            started = time.perf_counter()
            features(rows[:count], config, Path(scratch))
            times.append(time.perf_counter() - started)
    start_up = max(0.0, times[0] - (times[1] - times[0]) / 2)
    each = max(1e-4, (times[1] - times[0]) / (2 * PROBE))
    chunks = -(-len(rows) // 1024)
    seconds = chunks * start_up + each * len(rows) + FIT_SECONDS * len(rows) * config.members * (config.dense.epochs + config.sparse.epochs)
    weights = config.members * config.dense.hidden * (384 * len(config.taps) + len(HEADS)) + (1 << 15) * len(HEADS)
    folder = data_folder(config)
    return [
        ("parameters", f"{weights:,} in {len(HEADS)} heads; the encoder's {len(config.taps)} layers stay as they are"),
        (
            "texts",
            f"{len(rows):,} from {len({row.source for row in rows})} sources, in {config.members} folds",
        ),
        ("open folders", str(folder) if folder else "none: templates and the Python manual alone"),
        ("memory", f"about {400 + len(rows) * 384 * len(config.taps) * 6 / 2**20:,.0f} MB"),
        ("measured here", f"{1 / each:,.0f} texts/s read by the encoder, one thread"),
        ("expected", f"{seconds / 3600:.2f} h (no GPU; the cost is that of this machine for so long)"),
    ]
