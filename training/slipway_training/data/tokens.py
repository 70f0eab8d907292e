"""The token ids of a source's documents in one flat file, and rows cut from them.

It knows ids, documents' ends and lengths. It refuses to know mixtures: which rows are taken, and how often, is decided above.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from slipway_training.data.document import Document

BATCH = 256
"""Documents that are encoded at a time, by as many threads as the tokenizer takes."""


class TokenSpool:
    """Ids of one source, mapped: `ids` is flat, document i is `ids[offsets[i]:offsets[i + 1]]` and ends with the end token."""

    def __init__(self, folder: Path, name: str) -> None:
        """Files are `folder/NAME.ids` (little-endian uint32), `NAME.offsets.npy` and `NAME.json`; nothing is read before `ids`."""
        self.name = name
        self._ids, self._offsets, self._note = (folder / f"{name}{suffix}" for suffix in (".ids", ".offsets.npy", ".json"))

    def made_from(self, wanted: str) -> bool:
        """Whether it is whole and of this stamp."""
        return self._note.is_file() and json.loads(self._note.read_text(encoding="utf-8"))["stamp"] == wanted

    def write(self, documents: Iterable[Document], tokenizer: Tokenizer, end: int, made_from: str, advance: Callable[[int], None]) -> None:
        """Encode `documents` without special tokens (text that spells one stays text); `advance` is told the tokens of each batch."""
        self._ids.parent.mkdir(parents=True, exist_ok=True)
        self._note.unlink(missing_ok=True)
        plain = Tokenizer.from_str(tokenizer.to_str())
        plain.encode_special_tokens = True
        documents, lengths, sums = iter(documents), list[int](), hashlib.sha256()
        with self._ids.open("wb") as out:
            while batch := list(islice(documents, BATCH)):
                encoded = [[*e.ids, end] for e in plain.encode_batch_fast([d.text for d in batch], add_special_tokens=False)]
                raw = np.concatenate([np.asarray(ids, dtype="<u4") for ids in encoded]).tobytes()
                out.write(raw)
                sums.update(raw)
                lengths += map(len, encoded)
                advance(len(raw) // 4)
        np.save(self._offsets, np.cumsum([0, *lengths], dtype=np.int64), allow_pickle=False)
        self._note.write_text(json.dumps({"stamp": made_from, "tokens": sum(lengths), "sha256": sums.hexdigest()}), encoding="utf-8")

    @property
    def tokens(self) -> int:
        """Ids of all documents, end tokens included."""
        return int(json.loads(self._note.read_text(encoding="utf-8"))["tokens"])

    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each document, its end token included."""
        return np.diff(np.load(self._offsets, allow_pickle=False))

    def stages(self, bounds: Sequence[int], context: int) -> "list[Rows]":
        """Rows of each curriculum stage: stage k has the documents of more than `bounds[k - 1]` and up to `bounds[k]` tokens (0: all that are longer)."""
        offsets = np.load(self._offsets, allow_pickle=False)
        lengths = np.diff(offsets)
        ids = np.memmap(self._ids, dtype="<u4", mode="r") if offsets[-1] else np.zeros(0, "<u4")
        out: list[Rows] = []
        low = 0
        for bound in bounds:
            high = bound or np.iinfo(np.int64).max
            taken = np.flatnonzero((lengths > low) & (lengths <= high))
            out.append(Rows(ids, offsets[:-1][taken], lengths[taken], context))
            low = high
        return out


class Rows:
    """Rows of `context + 1` ids cut from documents that follow each other; consecutive rows share one id, so that no label is lost.

    The last tokens that fill no row are left out: fewer than `context` of each source and stage.
    """

    def __init__(self, ids: NDArray[np.uint32], starts: NDArray[np.int64], lengths: NDArray[np.int64], context: int) -> None:
        """`starts` and `lengths` place each document in `ids`."""
        self._ids, self._starts, self._context = ids, starts, context
        self._ends = np.cumsum(lengths)
        self.documents = len(starts)
        self.tokens = int(self._ends[-1]) if len(starts) else 0

    def __len__(self) -> int:
        return max(0, (self.tokens - 1) // self._context)

    def row(self, i: int) -> tuple[NDArray[np.uint32], tuple[int, ...]]:
        """Row i and the offsets below `context` at which a document starts in it, the first 0."""
        first, last = i * self._context, (i + 1) * self._context + 1
        document = int(np.searchsorted(self._ends, first, side="right"))
        parts: list[NDArray[np.uint32]] = []
        starts = [0]
        at = first
        while at < last:
            end = int(self._ends[document])
            begin = end - self._length(document)
            if first < begin < last - 1:
                starts.append(begin - first)
            source = int(self._starts[document]) + at - begin
            take = min(end, last) - at
            parts.append(self._ids[source : source + take])
            at += take
            document += 1
        return np.concatenate(parts), tuple(starts)

    def all(self) -> Iterator[tuple[NDArray[np.uint32], tuple[int, ...]]]:
        """Every row in order."""
        return (self.row(i) for i in range(len(self)))

    def _length(self, document: int) -> int:
        return int(self._ends[document]) - (int(self._ends[document - 1]) if document else 0)
