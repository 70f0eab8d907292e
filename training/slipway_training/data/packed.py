"""Packed rows on disk: the door between data and training. Arrow IPC files read by memory map, and an index with the digest of each.

It knows files, rows, documents' starts, stages and where each row came from. It refuses to know how rows were made or how they are trained on.

A row is `context + 1` token ids without padding: inputs `row[:-1]`, labels `row[1:]`. Every row is of one source and one curriculum stage, and the rows of a
stage are contiguous, so that a mixture can be counted, re-weighted and audited after packing. The index is written last: a folder without one is not whole.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from slipway_training.data.index import Index, PackedRow, PackedSource, ShardEntry
from slipway_training.data.origin import Origin
from slipway_training.errors import DataMissing, StackMissing

try:
    import pyarrow as pa
except ImportError as error:  # pragma: no cover - depends on the installation
    raise StackMissing("pyarrow", "data") from error

__all__ = ["Packed", "PackedRow", "PackedSource", "open_packed", "write_packed"]

INDEX = "index.json"
WIDE = 1 << 16
"""Vocabularies up to this many tokens are stored as uint16, larger ones as uint32."""


@dataclass(frozen=True, slots=True)
class _Shard:
    """One Arrow file as views of its mapping; nothing is copied."""

    tokens: NDArray[np.integer]
    start_offsets: NDArray[np.int32]
    start_values: NDArray[np.int32]
    source: NDArray[np.int32]
    stage: NDArray[np.int8]


class Packed:
    """Rows of a folder, mapped and not read. Cheap to pickle: a worker opens the folder again."""

    def __init__(self, folder: Path, index: Index, digest: str, shards: list[_Shard]) -> None:
        """Use `open_packed`."""
        self.folder, self.index, self.digest = folder, index, digest
        self._shards = shards
        self._length = sum(index.rows_by_stage)

    def __len__(self) -> int:
        return self._length

    def __reduce__(self) -> "tuple[object, ...]":
        return open_packed, (self.folder,)

    @property
    def context(self) -> int:
        """Tokens of input in a row; the row has one more."""
        return self.index.context

    @property
    def vocab_size(self) -> int:
        """Every id is below this."""
        return self.index.vocab_size

    @property
    def tokenizer_sha256(self) -> str:
        """Of the tokenizer.json that made the ids; a run refuses any other."""
        return self.index.tokenizer_sha256

    @property
    def provenance(self) -> tuple[PackedSource, ...]:
        """Source, licence, rows, tokens and sha256 of everything in here."""
        return self.index.sources

    @property
    def lengths_by_stage(self) -> tuple[int, ...]:
        """Rows of each curriculum stage, in order; row 0 of stage s is `sum(lengths_by_stage[:s])`."""
        return self.index.rows_by_stage

    def stage_rows(self, stage: int) -> range:
        """The rows of one curriculum stage."""
        first = sum(self.index.rows_by_stage[:stage])
        return range(first, first + self.index.rows_by_stage[stage])

    def row(self, i: int) -> NDArray[np.int32]:
        """Row i, `(context + 1,)`; raises IndexError."""
        shard, local = self._place(i)
        return self._shards[shard].tokens[local].astype(np.int32)

    def rows(self, indices: Sequence[int] | NDArray[np.integer]) -> NDArray[np.int32]:
        """Rows by number, in the order asked for: `(n, context + 1)`. One gather per shard that is touched; raises IndexError."""
        wanted = np.asarray(indices, dtype=np.int64)
        out = np.empty((len(wanted), self.context + 1), dtype=np.int32)
        if len(wanted) and (wanted.min() < 0 or wanted.max() >= self._length):
            raise IndexError(f"rows are 0 to {self._length - 1}, asked for {wanted.min()} to {wanted.max()}")
        shards, local = np.divmod(wanted, self.index.shard_rows)
        for shard in np.unique(shards):
            here = np.flatnonzero(shards == shard)
            out[here] = self._shards[shard].tokens[local[here]]
        return out

    def row_starts(self, i: int) -> NDArray[np.int32]:
        """Offsets in row i at which a document starts, ascending, the first always 0 (it may go on from the row before); raises IndexError."""
        shard, local = self._place(i)
        held = self._shards[shard]
        return held.start_values[held.start_offsets[local] : held.start_offsets[local + 1]].copy()

    def row_sources(self) -> NDArray[np.int32]:
        """For every row the index of its source in `provenance`, `(rows,)`."""
        return self._joined([s.source for s in self._shards])

    def row_stages(self) -> NDArray[np.int32]:
        """For every row its curriculum stage, `(rows,)`."""
        return self._joined([s.stage for s in self._shards])

    def _joined(self, parts: Sequence[NDArray[np.integer]]) -> NDArray[np.int32]:
        return np.concatenate(parts).astype(np.int32) if parts else np.zeros(0, np.int32)

    def _place(self, i: int) -> tuple[int, int]:
        if 0 <= i < self._length:
            return divmod(i, self.index.shard_rows)
        raise IndexError(f"row {i} of {self._length}")


def open_packed(folder: Path, verify: bool = False) -> Packed:
    """The rows of `folder`; `verify` reads every file and compares digests. Raises DataMissing when the folder is not whole or was changed."""
    path = folder / INDEX
    if not path.is_file():
        raise DataMissing(f"{folder} holds no {INDEX}: the rows were not packed to the end; run `data prepare` again")
    raw = path.read_bytes()
    try:
        index = Index.model_validate_json(raw)
    except ValueError as error:
        raise DataMissing(f"{path} is not an index of packed rows; run `data prepare` again") from error
    shards = [_map(folder / entry.file, entry, index.context + 1, verify=verify) for entry in index.shards]
    if sum(len(s.stage) for s in shards) != sum(index.rows_by_stage):
        raise DataMissing(f"{folder} is damaged: its files hold another number of rows than {INDEX} says; run `data prepare` again")
    return Packed(folder, index, hashlib.sha256(raw).hexdigest(), shards)


def write_packed(
    folder: Path, rows: Iterable[PackedRow], *, context: int, vocab_size: int, tokenizer_sha256: str, shard_rows: int = 4096,
    sources: Mapping[str, Origin] | None = None, notes: Mapping[str, str] | None = None,
) -> Packed:  # fmt: skip
    """Write `rows` as shards of `shard_rows`, then the index, and map them back.

    `rows` come stage by stage. `sources` gives each source's origin and is read after the last row, so a reader may fill it as it goes;
    a source without an entry is written with an unknown licence. Same rows, same digest. Raises ValueError for a row that does not fit.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / INDEX).unlink(missing_ok=True)
    for old in folder.glob("shard-*.arrow"):
        old.unlink()
    writer, known = _Writer(folder, context, vocab_size, shard_rows), sources or {}
    for row in rows:
        writer.add(row)
    writer.flush()
    index = Index(
        context=context, vocab_size=vocab_size, tokenizer_sha256=tokenizer_sha256, shard_rows=shard_rows, rows_by_stage=tuple(writer.stages),
        shards=tuple(writer.shards), notes=dict(notes or {}),
        sources=tuple(
            PackedSource(source=n, origin=known.get(n, Origin()), rows=c, tokens=c * context, sha256=writer.sums[n].hexdigest())
            for n, c in writer.rows_of.items()
        ),
    )  # fmt: skip
    part = folder / f".{INDEX}.part"
    part.write_text(json.dumps(index.model_dump(mode="json"), indent=1), encoding="utf-8")
    part.replace(folder / INDEX)
    return open_packed(folder)


@dataclass
class _Writer:
    """Fills one shard at a time; memory is one shard."""

    folder: Path
    context: int
    vocab_size: int
    shard_rows: int
    shards: list[ShardEntry] = field(default_factory=list[ShardEntry])
    stages: list[int] = field(default_factory=list[int])
    rows_of: dict[str, int] = field(default_factory=dict[str, int])
    sums: "dict[str, hashlib._Hash]" = field(default_factory=dict)  # type: ignore[type-arg]
    buffer: list[tuple[NDArray[np.integer], Sequence[int], int, int]] = field(default_factory=list)  # type: ignore[type-arg]

    def add(self, row: PackedRow) -> None:
        tokens = np.asarray(row.tokens)
        if tokens.shape != (self.context + 1,):
            raise ValueError(f"a row of {tokens.shape} ids, {self.context + 1} are wanted")
        if tokens.min() < 0 or tokens.max() >= self.vocab_size:
            raise ValueError(f"a row with id {int(tokens.max())}, the vocabulary has {self.vocab_size}")
        if not len(row.starts) or row.starts[0] != 0 or any(b <= a for a, b in zip(row.starts, row.starts[1:], strict=False)):
            raise ValueError("document starts ascend from 0")
        if not len(self.stages) - 1 <= row.stage < 128:
            raise ValueError(f"a row of stage {row.stage} after one of stage {len(self.stages) - 1}: stages come in order")
        self.stages.extend([0] * (row.stage + 1 - len(self.stages)))
        self.stages[row.stage] += 1
        self.rows_of[row.source] = self.rows_of.get(row.source, 0) + 1
        self.sums.setdefault(row.source, hashlib.sha256()).update(tokens.astype("<u4").tobytes())
        self.buffer.append((tokens, row.starts, list(self.rows_of).index(row.source), row.stage))
        if len(self.buffer) == self.shard_rows:
            self.flush()

    def flush(self) -> None:
        if not self.buffer:
            return
        kind = np.uint16 if self.vocab_size <= WIDE else np.uint32
        flat = np.stack([b[0] for b in self.buffer]).astype(kind).reshape(-1)
        batch = pa.RecordBatch.from_arrays(
            [
                pa.FixedSizeListArray.from_arrays(pa.array(flat), self.context + 1),
                pa.array([list(b[1]) for b in self.buffer], pa.list_(pa.int32())),
                pa.array([b[2] for b in self.buffer], pa.int32()),
                pa.array([b[3] for b in self.buffer], pa.int8()),
            ],
            names=["tokens", "starts", "source", "stage"],
        )
        path = self.folder / f"shard-{len(self.shards):05d}.arrow"
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, batch.schema) as file:
            file.write_batch(batch)
        self.shards.append(ShardEntry(file=path.name, rows=batch.num_rows, sha256=_digest(path)))
        self.buffer.clear()


def _map(path: Path, entry: ShardEntry, width: int, *, verify: bool) -> _Shard:
    """The single record batch of a shard, zero copy."""
    if not path.is_file():
        raise DataMissing(f"{path} is missing; run `data prepare` again")
    if verify and _digest(path) != entry.sha256:
        raise DataMissing(f"{path} is damaged: its sha256 is not the one in {INDEX}; run `data prepare` again")
    try:
        reader = pa.ipc.open_file(pa.memory_map(str(path), "r"))
        batch = reader.get_batch(0)
    except pa.ArrowInvalid as error:
        raise DataMissing(f"{path} is damaged: it is not a whole Arrow file; run `data prepare` again") from error
    if batch.num_rows != entry.rows:
        raise DataMissing(f"{path} is damaged: {batch.num_rows} rows, {INDEX} says {entry.rows}; run `data prepare` again")
    starts = batch.column("starts")
    return _Shard(
        tokens=batch.column("tokens").values.to_numpy(zero_copy_only=True).reshape(-1, width), start_offsets=starts.offsets.to_numpy(),
        start_values=starts.values.to_numpy(), source=batch.column("source").to_numpy(), stage=batch.column("stage").to_numpy(),
    )  # fmt: skip


def _digest(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
