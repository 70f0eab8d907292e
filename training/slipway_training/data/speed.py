"""How fast rows come out of a packed folder, beside Hugging Face datasets reading the same Arrow rows in the same run.

It knows clocks and random row numbers. It refuses to know models: the figure is compared with whatever a model consumes.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slipway_training.data.packed import Packed
from slipway_training.errors import StackMissing


@dataclass(frozen=True, slots=True)
class Speed:
    """Rows and tokens per second of one reader, at batches of random rows."""

    reader: str
    rows_per_second: float
    tokens_per_second: float


def measure(packed: Packed, batch_rows: int, seconds: float, seed: int = 0) -> list[Speed]:
    """Both readers for `seconds` each, in turns; each returns int32 batches `(batch_rows, context + 1)` of the same random rows."""
    readers: dict[str, Callable[[NDArray[np.int64]], NDArray[np.int32]]] = {
        "slipway Packed.rows": packed.rows,
        "datasets, numpy format": _peer(packed),
    }
    spent = dict.fromkeys(readers, 0.0)
    rows = dict.fromkeys(readers, 0)
    rng = np.random.default_rng(seed)
    while min(spent.values()) < seconds:
        wanted = rng.integers(0, len(packed), batch_rows)
        results: list[NDArray[np.int32]] = []
        for name, read in readers.items():
            started = time.perf_counter()
            results.append(read(wanted))
            spent[name] += time.perf_counter() - started
            rows[name] += batch_rows
        if not np.array_equal(results[0], results[1]):
            raise AssertionError("the two readers disagree about a row")
    return [Speed(n, rows[n] / spent[n], rows[n] * packed.context / spent[n]) for n in readers]


def _peer(packed: Packed) -> Callable[[NDArray[np.int64]], NDArray[np.int32]]:
    try:
        import pyarrow as pa
        from datasets import Dataset, concatenate_datasets
        from datasets.table import InMemoryTable
    except ImportError as error:
        raise StackMissing(error.name or "datasets", "data") from error
    parts = [
        Dataset(InMemoryTable(pa.ipc.open_file(pa.memory_map(str(packed.folder / s.file))).read_all().select(["tokens"])))
        for s in packed.index.shards
    ]
    joined = concatenate_datasets(parts).with_format("numpy")
    return lambda wanted: np.asarray(joined[wanted.tolist()]["tokens"]).astype(np.int32)
