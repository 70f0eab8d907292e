"""A tenant's uploaded files. Uploading the same bytes under the same name and purpose again gives the same file: a retry after a crash doubles nothing.

It refuses to know formats and stores.
"""

import secrets
import sqlite3
import time
from dataclasses import dataclass
from typing import BinaryIO, Literal

from slipway_shared import errors

from slipway_retriever.store.paging import Page, page
from slipway_retriever.store.tenant import Tenant, digest_of

Purpose = Literal["assistants", "user_data", "batch", "batch_output", "fine-tune", "vision", "evals"]


@dataclass(frozen=True, slots=True)
class StoredFile:
    """One uploaded file."""

    id: str
    filename: str
    purpose: str
    bytes: int
    created_at: int


def add(tenant: Tenant, filename: str, purpose: Purpose, size: int, source: BinaryIO, *, max_files: int) -> StoredFile:
    """Store the bytes of `source` durably, or find that they are there. Raises Conflict when the tenant has `max_files` already."""
    digest = digest_of(source)
    if (known := _same(tenant, digest, filename, purpose)) is not None:
        return known
    row = tenant.row("SELECT count(*) AS n FROM files")
    if row is not None and row["n"] >= max_files:
        raise errors.Conflict(f"This tenant has {max_files} files already; delete some first.", code="too_many_files")
    file = StoredFile(f"file-{secrets.token_hex(12)}", filename, purpose, size, int(time.time()))
    # Bytes first: a row never points at nothing. A crash in between leaves bytes without a row, which the next start sweeps.
    tenant.write_blob(file.id, source)
    try:
        with tenant.transaction() as transaction:
            transaction.execute(
                "INSERT INTO files (id, sha256, filename, purpose, bytes, created_at) VALUES (?, ?, ?, ?, ?, ?)",
                (file.id, digest, filename, purpose, size, file.created_at),
            )
    except sqlite3.IntegrityError:
        tenant.blob_path(file.id).unlink(missing_ok=True)
        if (known := _same(tenant, digest, filename, purpose)) is None:
            raise
        return known
    return file


def get(tenant: Tenant, file_id: str) -> StoredFile:
    """The file; raises NotFound, also for another tenant's."""
    row = tenant.row("SELECT * FROM files WHERE id = ?", (file_id,))
    if row is None:
        raise errors.NotFound("No such file.", param="file_id", code="file_not_found")
    return _file(row)


def listed(tenant: Tenant, wanted: Page, purpose: str | None) -> tuple[list[StoredFile], bool]:
    """One page, and whether there is more."""
    where, values = ("purpose = ?", (purpose,)) if purpose else ("1", ())
    rows, more = page(tenant, "SELECT *, rowid AS place FROM files", where, values, wanted, "SELECT rowid FROM files WHERE id = ?")
    return [_file(row) for row in rows], more


def delete(tenant: Tenant, file_id: str) -> None:
    """Remove the file everywhere: from all stores with its passages, then its bytes, then the copies in the log."""
    get(tenant, file_id)
    with tenant.transaction() as transaction:
        transaction.execute("DELETE FROM files WHERE id = ?", (file_id,))
    tenant.blob_path(file_id).unlink(missing_ok=True)
    tenant.forget()


def _same(tenant: Tenant, digest: str, filename: str, purpose: str) -> StoredFile | None:
    row = tenant.row("SELECT * FROM files WHERE sha256 = ? AND filename = ? AND purpose = ?", (digest, filename, purpose))
    return None if row is None else _file(row)


def _file(row: sqlite3.Row) -> StoredFile:
    return StoredFile(row["id"], row["filename"], row["purpose"], row["bytes"], row["created_at"])
