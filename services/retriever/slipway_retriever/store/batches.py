"""Files added to a store together (OpenAI's file batches): which they are, how many are done, and cancelling what is not. It refuses to know ingestion."""

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass

from slipway_shared import errors

from slipway_retriever.store import stores
from slipway_retriever.store.entries import COUNTED, Entry, entry_of
from slipway_retriever.store.paging import Page, page
from slipway_retriever.store.tenant import Tenant

STATES = ("in_progress", "completed", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class Batch:
    """One batch; `counts` are files by state, without those that were taken out of the store since."""

    id: str
    store_id: str
    created_at: int
    cancelled: bool
    counts: dict[str, int]

    @property
    def status(self) -> str:
        """Of the batch as a whole; failed files show in the counts."""
        if self.cancelled:
            return "cancelled"
        return "in_progress" if self.counts["in_progress"] else "completed"


def create(tenant: Tenant, store_id: str, file_ids: Sequence[str]) -> Batch:
    """Note that `file_ids`, which are in the store already, were added together."""
    store, batch_id = stores.resolved(tenant, store_id), f"vsfb_{secrets.token_hex(12)}"
    with tenant.transaction() as transaction:
        transaction.execute("INSERT INTO batches (id, store_id, created_at) VALUES (?, ?, ?)", (batch_id, store, int(time.time())))
        members = [(batch_id, file_id) for file_id in dict.fromkeys(file_ids)]
        transaction.executemany("INSERT INTO batch_files (batch_id, file_id) VALUES (?, ?)", members)
    return get(tenant, store, batch_id)


def get(tenant: Tenant, store_id: str, batch_id: str) -> Batch:
    """The batch; raises NotFound."""
    store = stores.resolved(tenant, store_id)
    row = tenant.row("SELECT * FROM batches WHERE id = ? AND store_id = ?", (batch_id, store))
    if row is None:
        raise errors.NotFound("This vector store has no such file batch.", param="batch_id", code="file_batch_not_found")
    counted = tenant.rows(
        "SELECT e.status, count(*) AS n FROM batch_files b JOIN store_files e ON e.file_id = b.file_id AND e.store_id = ? "
        "WHERE b.batch_id = ? GROUP BY e.status",
        (store, batch_id),
    )
    counts: dict[str, int] = dict.fromkeys(STATES, 0)
    counts.update({str(found["status"]): int(found["n"]) for found in counted})
    return Batch(row["id"], row["store_id"], row["created_at"], bool(row["cancelled"]), counts)


def cancel(tenant: Tenant, store_id: str, batch_id: str) -> Batch:
    """Stop what is in progress; what is done stays. Again changes nothing."""
    batch = get(tenant, store_id, batch_id)
    waiting = (
        "SELECT e.number FROM batch_files b JOIN store_files e ON e.file_id = b.file_id AND e.store_id = ? "
        "WHERE b.batch_id = ? AND e.status = 'in_progress'"
    )
    values = (batch.store_id, batch_id)
    with tenant.transaction() as transaction:
        if transaction.execute(f"SELECT 1 FROM ({waiting})", values).fetchone() is not None:  # noqa: S608
            transaction.execute(f"DELETE FROM passages WHERE entry IN ({waiting})", values)  # noqa: S608
            transaction.execute(f"UPDATE store_files SET status = 'cancelled', text = NULL WHERE number IN ({waiting})", values)  # noqa: S608
            transaction.execute("UPDATE batches SET cancelled = 1 WHERE id = ?", (batch_id,))
    return get(tenant, batch.store_id, batch_id)


def listed(tenant: Tenant, store_id: str, batch_id: str, wanted: Page, status: str | None) -> tuple[list[Entry], bool]:
    """One page of the batch's files, and whether there is more."""
    batch = get(tenant, store_id, batch_id)
    where = "store_id = ? AND file_id IN (SELECT file_id FROM batch_files WHERE batch_id = ?)"
    values: tuple[str, ...] = (batch.store_id, batch_id)
    if status:
        where, values = f"{where} AND status = ?", (*values, status)
    rows, more = page(tenant, COUNTED, where, values, wanted, "SELECT number FROM store_files WHERE store_id = ? AND file_id = ?")
    return [entry_of(row) for row in rows], more
