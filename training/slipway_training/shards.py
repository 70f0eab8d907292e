"""Token rows on disk: five flat arrays that are read by memory map, and an index with their digests.

It knows files, lengths and digests. It refuses to know what a token means. NumPy's own format is used with pickling refused.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from slipway_training.errors import DataMissing
from slipway_training.layout import Row

_ARRAYS = {"tokens": np.uint16, "segments": np.uint8, "positions": np.uint16, "target": np.bool_}
INDEX = "index.json"


@dataclass(frozen=True, slots=True)
class Shard:
    """Rows of one stage. `offsets` has rows + 1 entries; row i is the slice offsets[i]:offsets[i + 1] of each array."""

    tokens: NDArray[np.uint16]
    segments: NDArray[np.uint8]
    positions: NDArray[np.uint16]
    target: NDArray[np.bool_]
    offsets: NDArray[np.int64]
    digest: str
    sources: dict[str, int]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each row."""
        return np.diff(self.offsets)


def write_shard(folder: Path, rows: Iterable[Row]) -> Shard:
    """Write `rows` into `folder` and map them back."""
    folder.mkdir(parents=True, exist_ok=True)
    columns: dict[str, list[NDArray[np.generic]]] = {name: [] for name in _ARRAYS}
    offsets = [0]
    sources: dict[str, int] = {}
    for row in rows:
        for name, kind in _ARRAYS.items():
            columns[name].append(np.asarray(getattr(row, name), dtype=kind))
        offsets.append(offsets[-1] + len(row.tokens))
        sources[row.source] = sources.get(row.source, 0) + 1
    for name, kind in _ARRAYS.items():
        np.save(folder / f"{name}.npy", np.concatenate(columns[name]) if columns[name] else np.zeros(0, kind), allow_pickle=False)
    np.save(folder / "offsets.npy", np.asarray(offsets, dtype=np.int64), allow_pickle=False)
    digests = {name: _digest(folder / f"{name}.npy") for name in (*_ARRAYS, "offsets")}
    index = {"rows": len(offsets) - 1, "tokens": offsets[-1], "sources": sources, "sha256": digests}
    (folder / INDEX).write_text(json.dumps(index, indent=1), encoding="utf-8")
    return open_shard(folder)


def open_shard(folder: Path) -> Shard:
    """The shard of `folder`, mapped, not read; raises DataMissing when it is not whole."""
    path = folder / INDEX
    if not path.is_file():
        raise DataMissing(f"{folder} holds no {INDEX}: the rows were not prepared")
    raw = path.read_bytes()
    index = json.loads(raw)
    arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r" if index["tokens"] else None, allow_pickle=False) for name in _ARRAYS}
    offsets = np.load(folder / "offsets.npy", allow_pickle=False)
    if len(arrays["tokens"]) != offsets[-1]:
        raise DataMissing(f"{folder} is damaged: {len(arrays['tokens'])} tokens, the index says {offsets[-1]}")
    return Shard(**arrays, offsets=offsets, digest=hashlib.sha256(raw).hexdigest(), sources=index["sources"])


def _digest(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
