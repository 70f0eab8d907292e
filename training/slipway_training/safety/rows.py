"""Every row of the recipe, from all sources, in one order.

It knows which sources there are and what is read when no data folder is set. It refuses to know what is done with a row.
"""

import os
import random
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from slipway_training.errors import DataMissing
from slipway_training.safety import folders, manuals, templates
from slipway_training.safety.config import SafetyConfig
from slipway_training.safety.name_config import NamesConfig
from slipway_training.safety.templates import HEADS, Row, fold_of


def data_folder(config: SafetyConfig | NamesConfig) -> Path | None:
    """Where the open folders are, or None for what is made here alone; raises DataMissing for a folder that is named and not there."""
    named = config.data_dir or os.environ.get("SLIPWAY_DATA_DIR", "")
    if not config.use_folders or not named:
        return None
    if not Path(named).is_dir():
        raise DataMissing(f"{named} is not a folder; set data_dir or SLIPWAY_DATA_DIR to the open folders, or use_folders=false")
    return Path(named)


def told_without_folders(config: SafetyConfig | NamesConfig, read: str, console: Console) -> None:
    """Say it when open folders were wanted and none is named: what is learnt then is far from what ships. `read`: what is read instead."""
    if config.use_folders and data_folder(config) is None:
        console.print(
            f"[yellow]open folders: {read}[/]; SLIPWAY_DATA_DIR (or data_dir=) names them, use_folders=false leaves them out unsaid"
        )


def collect(config: SafetyConfig) -> list[Row]:
    """Every row, shuffled by the seed, each text once; without a data folder templates and the Python manual alone."""
    data = data_folder(config)
    rng = random.Random(config.seed)
    clean = folders.passages(data, config, rng) if data else []
    found = list(templates.rows(config, [p for _, p in clean], rng))
    if data:
        found += list(folders.rows(data, config, clean, rng))
    found += list(_manuals(config, data is not None, rng))
    rows = list({row.text: row for row in found if row.text}.values())
    rng.shuffle(rows)
    # Behind the others and from a seed of its own: a change to the short texts leaves what was read of the others valid.
    known = {row.text for row in rows}
    short = {row.text: row for row in templates.short(config, random.Random(config.seed + 1)) if row.text and row.text not in known}
    return [*rows, *short.values()]


def _manuals(config: SafetyConfig, packages: bool, rng: random.Random) -> Iterator[Row]:
    none = dict.fromkeys(HEADS, 0)
    pages = [("python_manual", manuals.python_manual(config.data.python_manual, rng))]
    if packages:
        pages.append(("package_pages", manuals.package_pages(config.data.package_pages, rng)))
    for source, windows in pages:
        for key, text in windows:
            yield Row(text, source, fold_of(key, config.members), none)
