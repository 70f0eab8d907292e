"""The shapes of packed rows: one row to be written, and the index that lies beside the files.

It knows fields and what they count. It refuses to know files.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from slipway_training.data.origin import Origin

FORMAT = 1


@dataclass(frozen=True, slots=True)
class PackedRow:
    """One row to be written: `context + 1` ids, the offsets at which documents start in it, and where it came from."""

    tokens: Sequence[int] | NDArray[np.integer]
    starts: Sequence[int] = (0,)
    source: str = ""
    stage: int = 0


class PackedSource(BaseModel):
    """One source of the rows, as it is carried to run folders, model cards and releases. `sha256` is over its rows' ids (little-endian uint32)."""

    model_config = ConfigDict(frozen=True)

    source: str
    origin: Origin
    rows: int
    tokens: int
    sha256: str


class ShardEntry(BaseModel):
    """One Arrow file: its name, rows, and the sha256 of its bytes."""

    model_config = ConfigDict(frozen=True)

    file: str
    rows: int
    sha256: str


class Index(BaseModel):
    """index.json. `rows_by_stage[s]` rows belong to curriculum stage s; stages follow each other in row order."""

    model_config = ConfigDict(frozen=True)

    format: int = FORMAT
    context: int
    vocab_size: int
    tokenizer_sha256: str
    shard_rows: int
    rows_by_stage: tuple[int, ...]
    shards: tuple[ShardEntry, ...]
    sources: tuple[PackedSource, ...]
    notes: dict[str, str] = {}
