"""Files in stores: the durable jobs of ingestion, and the passages that come of them.

An entry goes accepted -> chunked -> embedded -> searchable, each step one transaction; a step that a crash undid is taken again.
It refuses to know how text is parsed, split or embedded.
"""

import json
import sqlite3
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from slipway_shared import errors

from slipway_retriever.passage import Piece
from slipway_retriever.store import files, stores
from slipway_retriever.store.paging import Page, page
from slipway_retriever.store.tenant import Tenant

Attribute = str | float | bool
MAX_ATTEMPTS = 100
"""A file in whose attempts the process died this often is failed. It is a high number, because a kill is mostly not the file's fault (parsers have a process
of their own): files that were tried less often go first, so that a bad one delays nobody meanwhile."""

COUNTED = """
SELECT e.*, e.number AS place, f.filename, f.bytes,
  (SELECT count(*) FROM passages p WHERE p.entry = e.number) AS passages,
  (SELECT count(*) FROM passages p WHERE p.entry = e.number AND p.vector IS NOT NULL) AS embedded,
  (SELECT coalesce(sum(length(CAST(p.text AS BLOB)) + coalesce(length(p.vector), 0)), 0) FROM passages p WHERE p.entry = e.number) AS usage_bytes
FROM store_files e JOIN files f ON f.id = e.file_id
"""


@dataclass(frozen=True, slots=True)
class Chunking:
    """How a file is cut, in estimated tokens."""

    tokens: int
    overlap: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One file in one store."""

    number: int
    store_id: str
    file_id: str
    filename: str
    created_at: int
    status: str
    stage: str
    attempts: int
    error: tuple[str, str] | None
    attributes: dict[str, Attribute]
    chunking: Chunking
    embedder: str
    passages: int
    embedded: int
    usage_bytes: int


def add(tenant: Tenant, store_id: str, file_id: str, attributes: Mapping[str, Attribute], chunking: Chunking) -> Entry:
    """Accept a file into a store. Again with the same chunking: a failed or cancelled one is tried anew, any other stays; with another chunking it is cut anew."""
    store = stores.resolved(tenant, store_id)
    files.get(tenant, file_id)
    values = (store, file_id, int(time.time()), json.dumps(dict(attributes)), chunking.tokens, chunking.overlap)
    with tenant.transaction() as transaction:
        known = transaction.execute("SELECT * FROM store_files WHERE store_id = ? AND file_id = ?", (store, file_id)).fetchone()
        if known is not None and (
            known["status"] in ("failed", "cancelled")
            or (known["chunk_tokens"], known["overlap_tokens"]) != (chunking.tokens, chunking.overlap)
        ):
            transaction.execute("DELETE FROM store_files WHERE number = ?", (known["number"],))
            known = None
        if known is None:
            transaction.execute(
                "INSERT INTO store_files (store_id, file_id, created_at, status, stage, attributes, chunk_tokens, overlap_tokens) "
                "VALUES (?, ?, ?, 'in_progress', 'accepted', ?, ?, ?)",
                values,
            )
        elif attributes:
            transaction.execute("UPDATE store_files SET attributes = ? WHERE number = ?", (json.dumps(dict(attributes)), known["number"]))
        transaction.execute("UPDATE stores SET last_active_at = ? WHERE id = ?", (int(time.time()), store))
    return get(tenant, store, file_id)


def get(tenant: Tenant, store_id: str, file_id: str) -> Entry:
    """The entry; raises NotFound."""
    store = stores.resolved(tenant, store_id)
    row = tenant.row(f"{COUNTED} WHERE e.store_id = ? AND e.file_id = ?", (store, file_id))
    if row is None:
        raise errors.NotFound("This vector store holds no such file.", param="file_id", code="file_not_found")
    return entry_of(row)


def listed(tenant: Tenant, store_id: str, wanted: Page, status: str | None) -> tuple[list[Entry], bool]:
    """One page of a store's entries, and whether there is more."""
    store = stores.resolved(tenant, store_id)
    where, values = ("store_id = ? AND status = ?", (store, status)) if status else ("store_id = ?", (store,))
    place_of = "SELECT number FROM store_files WHERE store_id = ? AND file_id = ?"
    rows, more = page(tenant, COUNTED, where, values, wanted, place_of)
    return [entry_of(row) for row in rows], more


def set_attributes(tenant: Tenant, store_id: str, file_id: str, attributes: Mapping[str, Attribute]) -> Entry:
    """Replace an entry's attributes; filters see them at once."""
    entry = get(tenant, store_id, file_id)
    with tenant.transaction() as transaction:
        transaction.execute("UPDATE store_files SET attributes = ? WHERE number = ?", (json.dumps(dict(attributes)), entry.number))
    return get(tenant, entry.store_id, file_id)


def remove(tenant: Tenant, store_id: str, file_id: str) -> None:
    """Take the file out of the store, with its passages and vectors; the file stays."""
    entry = get(tenant, store_id, file_id)
    with tenant.transaction() as transaction:
        transaction.execute("DELETE FROM store_files WHERE number = ?", (entry.number,))
    tenant.forget()


def text_of(tenant: Tenant, store_id: str, file_id: str) -> str:
    """The text that was extracted from the file; empty until it was parsed."""
    entry = get(tenant, store_id, file_id)
    row = tenant.row("SELECT text FROM store_files WHERE number = ?", (entry.number,))
    return "" if row is None else row["text"] or ""


def next_waiting(tenant: Tenant) -> Entry | None:
    """The entry to do next: the least often tried, then the oldest."""
    row = tenant.row(f"{COUNTED} WHERE e.status = 'in_progress' ORDER BY e.attempts, e.number LIMIT 1")
    return None if row is None else entry_of(row)


def begin(tenant: Tenant, number: int) -> None:
    """Note one more attempt, before anything dangerous is done with the file."""
    with tenant.transaction() as transaction:
        transaction.execute("UPDATE store_files SET attempts = attempts + 1 WHERE number = ?", (number,))


def forgive(tenant: Tenant, number: int) -> None:
    """Take an attempt back: it ended because the service was stopped, not because of the file."""
    with tenant.transaction() as transaction:
        transaction.execute("UPDATE store_files SET attempts = attempts - 1 WHERE number = ?", (number,))


def save_pieces(tenant: Tenant, number: int, text: str, pieces: Sequence[Piece], embedder: str) -> bool:
    """Store text and passages, vectors to come; what an earlier attempt left is replaced. False when the entry was removed meanwhile."""
    with tenant.transaction() as transaction:
        transaction.execute("DELETE FROM passages WHERE entry = ?", (number,))
        if not _touch(transaction, "stage = 'chunked', embedder = ?, text = ?", (embedder, text), number):
            return False
        transaction.executemany(
            "INSERT INTO passages (entry, ordinal, title, text, start, end) VALUES (?, ?, ?, ?, ?, ?)",
            [(number, i, piece.title, piece.text, piece.start, piece.end) for i, piece in enumerate(pieces)],
        )
    return True


def unembedded(tenant: Tenant, number: int, limit: int) -> list[tuple[int, Piece]]:
    """Up to `limit` passages of the entry that have no vector yet."""
    rows = tenant.rows("SELECT * FROM passages WHERE entry = ? AND vector IS NULL ORDER BY ordinal LIMIT ?", (number, limit))
    return [(row["number"], Piece(row["title"], row["text"], row["start"], row["end"])) for row in rows]


def save_vectors(tenant: Tenant, vectors: Sequence[tuple[int, NDArray[np.float32]]]) -> None:
    """Store the vectors of passages, by their numbers; those of passages removed meanwhile are dropped."""
    with tenant.transaction() as transaction:
        blobs = [(vector.astype("<f4").tobytes(), passage) for passage, vector in vectors]
        transaction.executemany("UPDATE passages SET vector = ? WHERE number = ?", blobs)


def complete(tenant: Tenant, number: int) -> bool:
    """Make the entry searchable: from this commit on its passages are found. False when it was removed meanwhile."""
    with tenant.transaction() as transaction:
        return _touch(transaction, "stage = 'searchable', status = 'completed', error_code = NULL, error_message = NULL", (), number)


def fail(tenant: Tenant, number: int, code: str, message: str) -> None:
    """End the entry with a reason that its owner can act on; nothing of it is kept."""
    with tenant.transaction() as transaction:
        transaction.execute("DELETE FROM passages WHERE entry = ?", (number,))
        _touch(transaction, "status = 'failed', error_code = ?, error_message = ?, text = NULL", (code, message), number)


def restart_foreign(tenant: Tenant, embedder: str) -> int:
    """Send entries whose vectors came from another embedder back to be embedded; answers how many."""
    with tenant.transaction() as transaction:
        where = "status = 'completed' AND embedder <> ?"
        transaction.execute(
            f"UPDATE passages SET vector = NULL WHERE entry IN (SELECT number FROM store_files WHERE {where})",  # noqa: S608
            (embedder,),
        )
        changed = transaction.execute(
            f"UPDATE store_files SET status = 'in_progress', stage = 'chunked', attempts = 0, embedder = ? WHERE {where}",  # noqa: S608
            (embedder, embedder),
        )
    return changed.rowcount


def _touch(transaction: sqlite3.Connection, change: str, values: tuple[str, ...], number: int) -> bool:
    # An entry that was cancelled meanwhile stays so.
    where = "number = ? AND status = 'in_progress'"
    return transaction.execute(f"UPDATE store_files SET {change} WHERE {where}", (*values, number)).rowcount == 1  # noqa: S608


def entry_of(row: sqlite3.Row) -> Entry:
    """An entry from a row of COUNTED."""
    error = (row["error_code"], row["error_message"]) if row["error_code"] else None
    return Entry(
        row["number"], row["store_id"], row["file_id"], row["filename"], row["created_at"], row["status"], row["stage"], row["attempts"], error,
        json.loads(row["attributes"]), Chunking(row["chunk_tokens"], row["overlap_tokens"]), row["embedder"], row["passages"], row["embedded"],
        row["usage_bytes"],
    )  # fmt: skip
