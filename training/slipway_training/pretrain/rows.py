"""The rows of a run: packed ones from a folder, or self-made text packed on the spot, and the tokenizer that belongs to them.

It knows which tokenizer made the rows and refuses any other. It refuses to know order and training.
"""

import hashlib
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from tokenizers import Tokenizer

from slipway_training.config import load_typed
from slipway_training.data.invented import prose
from slipway_training.data.mixture import MixtureConfig
from slipway_training.data.origin import Origin
from slipway_training.data.packed import INDEX, Packed, PackedRow, open_packed, write_packed
from slipway_training.data.prepare import prepare
from slipway_training.errors import ConfigError, DataMissing
from slipway_training.pretrain.config import DataConfig
from slipway_training.tokenizer import END, encode, load_tokenizer, special_id, train_tokenizer

INVENTED_VOCABULARY = 512
SENTENCES = 12
LONGEST_WAIT = 1800.0
"""Seconds that the other processes of torchrun wait for rows that the first one makes."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Packed rows with their tokenizer; `end` is the token between documents."""

    packed: Packed
    tokenizer: Tokenizer
    tokenizer_path: Path
    end: int


def find_rows(data: DataConfig, run: Path, seed: int, console: Console | None = None) -> Rows:
    """What the recipe names, made below `run` where it is made here; raises DataMissing and ConfigError."""
    if data.invented:
        folder, path = run / "data", run / "data" / "tokenizer.json"
        _once(folder, lambda: _invent(folder, path, data, seed))
    else:
        folder = Path(data.packed)
        path = Path(data.tokenizer) if data.tokenizer else folder / "tokenizer.json"
        if data.mixture:
            _once(folder, lambda: _prepare(data, folder, console))
    packed = open_packed(folder, verify=data.verify and os.environ.get("LOCAL_RANK", "0") == "0")  # once a machine is enough
    if not path.is_file():
        raise DataMissing(f"{path} is missing; data.tokenizer names the tokenizer.json that made {folder}")
    found = file_sha256(path)
    if packed.tokenizer_sha256 != found:
        raise ConfigError(f"{folder} was made by another tokenizer ({packed.tokenizer_sha256[:12]}) than {path} ({found[:12]})")
    tokenizer = load_tokenizer(path)
    return Rows(packed, tokenizer, path, special_id(tokenizer, END))


def keep_tokenizer(rows: Rows, run: Path) -> None:
    """A copy of the tokenizer in the run's folder, by which it is frozen."""
    target = run / "tokenizer.json"
    if not target.is_file():
        shutil.copyfile(rows.tokenizer_path, target)
    elif file_sha256(target) != rows.packed.tokenizer_sha256:
        raise ConfigError(f"{target} is not the tokenizer of these rows; choose another run.out")


def file_sha256(path: Path) -> str:
    """Hex digest of a file's bytes."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _once(folder: Path, make: Callable[[], None]) -> None:
    """Make the rows of `folder` where they are missing; under torchrun the first process does, the others wait for it."""
    if (folder / INDEX).is_file():
        return
    if os.environ.get("RANK", "0") == "0":
        make()
        return
    end = time.monotonic() + LONGEST_WAIT
    while not (folder / INDEX).is_file():
        if time.monotonic() > end:
            raise DataMissing(f"{folder} was not made by the first process within {LONGEST_WAIT:.0f} s")
        time.sleep(0.2)


def _prepare(data: DataConfig, folder: Path, console: Console | None) -> None:
    if not data.tokenizer:
        raise ConfigError("data.mixture needs data.tokenizer: the tokenizer.json that makes its rows")
    typed = load_typed(MixtureConfig, Path(data.mixture), [])
    prepare(typed, Path(data.tokenizer), folder, console or Console(quiet=True), os.cpu_count() or 1, lambda: False)


def _invent(folder: Path, path: Path, data: DataConfig, seed: int) -> None:
    texts = [prose(seed * 100_003 + number, SENTENCES) for number in range(data.invented)]
    tokenizer = train_tokenizer(texts, INVENTED_VOCABULARY)
    path.parent.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(path))
    end = special_id(tokenizer, END)
    ids: list[int] = []
    starts: list[int] = []
    for text in texts:
        starts.append(len(ids))
        ids += [*encode(tokenizer, text), end]
    width = data.context_tokens + 1
    places = np.asarray(starts)
    rows = [
        PackedRow(ids[at : at + width], (0, *(int(p - at) for p in places[(places > at) & (places < at + width)])), "invented")
        for at in range(0, len(ids) - width, data.context_tokens)
    ]
    origin = Origin(url="invented:", licence="Apache-2.0", domain="invented")
    write_packed(
        folder, rows, context=data.context_tokens, vocab_size=INVENTED_VOCABULARY, tokenizer_sha256=file_sha256(path),
        sources={"invented": origin},
    )  # fmt: skip
