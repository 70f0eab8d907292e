"""A tenant's vector stores. The store `vs_default` exists for everybody, always: deleting it empties it. It refuses to know passages."""

import json
import secrets
import sqlite3
import time
from collections.abc import Mapping
from dataclasses import dataclass

from slipway_shared import errors
from slipway_shared.contracts import DEFAULT_STORE, DEFAULT_STORE_ID

from slipway_retriever.store.paging import Page, page
from slipway_retriever.store.tenant import Tenant

_COUNTED = """
SELECT s.*, s.rowid AS place,
  (SELECT count(*) FROM store_files f WHERE f.store_id = s.id AND f.status = 'in_progress') AS in_progress,
  (SELECT count(*) FROM store_files f WHERE f.store_id = s.id AND f.status = 'completed') AS completed,
  (SELECT count(*) FROM store_files f WHERE f.store_id = s.id AND f.status = 'failed') AS failed,
  (SELECT count(*) FROM store_files f WHERE f.store_id = s.id AND f.status = 'cancelled') AS cancelled,
  (SELECT coalesce(sum(length(CAST(p.text AS BLOB)) + coalesce(length(p.vector), 0)), 0)
     FROM store_files f JOIN passages p ON p.entry = f.number WHERE f.store_id = s.id) AS usage_bytes
FROM stores s
"""


@dataclass(frozen=True, slots=True)
class Store:
    """One vector store with the counts of its files."""

    id: str
    name: str
    created_at: int
    last_active_at: int
    metadata: dict[str, str]
    in_progress: int
    completed: int
    failed: int
    cancelled: int
    usage_bytes: int


def create(tenant: Tenant, name: str, metadata: Mapping[str, str], *, max_stores: int) -> Store:
    """A new, empty store; raises Conflict when the tenant has `max_stores` already."""
    now, store_id = int(time.time()), f"vs_{secrets.token_hex(12)}"
    with tenant.transaction() as transaction:
        if transaction.execute("SELECT count(*) FROM stores").fetchone()[0] >= max_stores:
            raise errors.Conflict(f"This tenant has {max_stores} vector stores already; delete some first.", code="too_many_stores")
        _insert(transaction, store_id, name, now, metadata)
    return get(tenant, store_id)


def get(tenant: Tenant, store_id: str) -> Store:
    """The store by its id (`default` is an alias); raises NotFound, also for another tenant's."""
    row = tenant.row(f"{_COUNTED} WHERE s.id = ?", (resolved(tenant, store_id),))
    assert row is not None
    return _store(row)


def resolved(tenant: Tenant, store_id: str) -> str:
    """The id under which `store_id` is kept; raises NotFound. Cheap: no counting."""
    wanted = DEFAULT_STORE_ID if store_id == DEFAULT_STORE else store_id
    if tenant.row("SELECT 1 FROM stores WHERE id = ?", (wanted,)) is None:
        if wanted != DEFAULT_STORE_ID:
            raise errors.NotFound("No such vector store.", param="vector_store_id", code="vector_store_not_found")
        ensure_default(tenant)
    return wanted


def listed(tenant: Tenant, wanted: Page) -> tuple[list[Store], bool]:
    """One page, and whether there is more."""
    resolved(tenant, DEFAULT_STORE_ID)
    rows, more = page(tenant, _COUNTED, "1", (), wanted, "SELECT rowid FROM stores WHERE id = ?")
    return [_store(row) for row in rows], more


def update(tenant: Tenant, store_id: str, name: str | None, metadata: Mapping[str, str] | None) -> Store:
    """Change what is given."""
    found = get(tenant, store_id)
    with tenant.transaction() as transaction:
        transaction.execute(
            "UPDATE stores SET name = ?, metadata = ?, last_active_at = ? WHERE id = ?",
            (
                found.name if name is None else name,
                json.dumps(found.metadata if metadata is None else dict(metadata)),
                int(time.time()),
                found.id,
            ),
        )
    return get(tenant, found.id)


def delete(tenant: Tenant, store_id: str) -> str:
    """Remove the store with its passages and vectors; files stay. Answers the id."""
    wanted = resolved(tenant, store_id)
    with tenant.transaction() as transaction:
        transaction.execute("DELETE FROM stores WHERE id = ?", (wanted,))
    tenant.forget()
    return wanted


def ensure_default(tenant: Tenant) -> None:
    """Create `vs_default` unless it is there."""
    with tenant.transaction() as transaction:
        if transaction.execute("SELECT 1 FROM stores WHERE id = ?", (DEFAULT_STORE_ID,)).fetchone() is None:
            _insert(transaction, DEFAULT_STORE_ID, DEFAULT_STORE, int(time.time()), {})


def _insert(transaction: sqlite3.Connection, store_id: str, name: str, now: int, metadata: Mapping[str, str]) -> None:
    transaction.execute(
        "INSERT INTO stores (id, name, created_at, last_active_at, metadata) VALUES (?, ?, ?, ?, ?)",
        (store_id, name, now, now, json.dumps(dict(metadata))),
    )


def _store(row: sqlite3.Row) -> Store:
    return Store(
        row["id"], row["name"], row["created_at"], row["last_active_at"], json.loads(row["metadata"]),
        row["in_progress"], row["completed"], row["failed"], row["cancelled"], row["usage_bytes"],
    )  # fmt: skip
