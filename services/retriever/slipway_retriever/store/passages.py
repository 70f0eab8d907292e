"""Passages as search reads them: which files are searchable, their vectors in blocks, and the text of what was found. It refuses to rank."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from slipway_shared.contracts import Passage

from slipway_retriever.store.tenant import Tenant

Numbers = NDArray[np.int64]
ENTRIES_AT_ONCE = 500
"""Files read per statement; SQLite takes up to 32,766 parameters."""


@dataclass(frozen=True, slots=True)
class Block:
    """Passages of some files, in the order of their numbers."""

    numbers: Numbers
    vectors: NDArray[np.float32]
    texts: list[str]
    entries: dict[int, Numbers]


def searchable(tenant: Tenant, store_id: str, embedder: str | None = None) -> set[int]:
    """The numbers of a store's completed entries; of those that `embedder` (a digest) embedded, where given."""
    rows = tenant.rows("SELECT number, embedder FROM store_files WHERE store_id = ? AND status = 'completed'", (store_id,))
    return {row["number"] for row in rows if embedder in (None, row["embedder"])}


def blocks(tenant: Tenant, wanted: Sequence[int]) -> Iterator[Block]:
    """The passages of the entries `wanted`, in blocks; entries that became unsearchable meanwhile are left out."""
    for start in range(0, len(wanted), ENTRIES_AT_ONCE):
        some = wanted[start : start + ENTRIES_AT_ONCE]
        rows = tenant.rows(
            "SELECT p.number, p.entry, p.title, p.text, p.vector FROM passages p JOIN store_files e ON e.number = p.entry "  # noqa: S608
            f"WHERE e.status = 'completed' AND p.vector IS NOT NULL AND p.entry IN ({_marks(some)}) ORDER BY p.number",
            some,
        )
        if not rows:
            continue
        numbers = np.array([row["number"] for row in rows], dtype=np.int64)
        owners = np.array([row["entry"] for row in rows], dtype=np.int64)
        vectors = np.frombuffer(b"".join(row["vector"] for row in rows), dtype="<f4").reshape(len(rows), -1)
        texts = [f"{row['title']}\n{row['text']}" for row in rows]
        yield Block(numbers, vectors, texts, {int(entry): numbers[owners == entry] for entry in np.unique(owners)})


def read(tenant: Tenant, numbers: Sequence[int]) -> dict[int, Passage]:
    """Passages by number, without scores; those removed meanwhile are missing."""
    rows = tenant.rows(
        # Not the vector, which is twice as large as the text.
        "SELECT p.number, p.ordinal, p.title, p.text, p.start, p.end, e.file_id, e.store_id, e.attributes, f.filename "  # noqa: S608
        "FROM passages p JOIN store_files e ON e.number = p.entry JOIN files f ON f.id = e.file_id "
        f"WHERE p.number IN ({_marks(numbers)})",
        numbers,
    )
    return {
        row["number"]: Passage(
            id=f"{row['file_id']}#{row['ordinal']}",
            file_id=row["file_id"],
            filename=row["filename"],
            text=row["text"],
            score=0.0,
            start=row["start"],
            end=row["end"],
            title=row["title"],
            vector_store_id=row["store_id"],
            attributes=json.loads(row["attributes"]),
        )
        for row in rows
    }


def vectors(tenant: Tenant, numbers: Sequence[int]) -> dict[int, NDArray[np.float32]]:
    """The vectors of passages by number; those removed meanwhile are missing."""
    rows = tenant.rows(f"SELECT number, vector FROM passages WHERE vector IS NOT NULL AND number IN ({_marks(numbers)})", numbers)  # noqa: S608
    return {row["number"]: np.frombuffer(row["vector"], dtype="<f4") for row in rows}


def allowed(tenant: Tenant, store_id: str, matches: Callable[[Mapping[str, str | float | bool]], bool]) -> Numbers:
    """The passages of a store whose file's attributes match."""
    rows = tenant.rows("SELECT number, attributes FROM store_files WHERE store_id = ? AND status = 'completed'", (store_id,))
    entries = [row["number"] for row in rows if matches(json.loads(row["attributes"]))]
    return numbers(tenant, entries)


def numbers(tenant: Tenant, entries: Sequence[int]) -> Numbers:
    """The passages of `entries`."""
    return joined([_numbers(tenant, entries[i : i + ENTRIES_AT_ONCE]) for i in range(0, len(entries), ENTRIES_AT_ONCE)])


def _numbers(tenant: Tenant, some: Sequence[int]) -> Numbers:
    rows = tenant.rows(f"SELECT number FROM passages WHERE entry IN ({_marks(some)})", some)  # noqa: S608
    return np.array([row["number"] for row in rows], dtype=np.int64)


def count(tenant: Tenant) -> int:
    """All passages of a tenant."""
    row = tenant.row("SELECT count(*) AS n FROM passages")
    return 0 if row is None else int(row["n"])


def joined(parts: Sequence[Numbers]) -> Numbers:
    """One array of numbers."""
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)


def _marks(values: Sequence[int]) -> str:
    return ",".join("?" * len(values))
