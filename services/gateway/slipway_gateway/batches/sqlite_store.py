"""Batches in one SQLite file, for the processes of one machine; without a path, in memory, for one process and as long as it lives.

It knows SQL. Every write is one transaction before it returns, so a killed process loses nothing that it said it had kept.
"""

import sqlite3
import time
from collections.abc import AsyncIterator
from pathlib import Path

from slipway_gateway.batches.record import Batch
from slipway_gateway.batches.store import KEPT_SECONDS, MAX_LIVE, away, too_many
from slipway_gateway.database import Database

_SCHEMA = """
CREATE TABLE IF NOT EXISTS batches (
    place INTEGER PRIMARY KEY, id TEXT UNIQUE NOT NULL, tenant TEXT NOT NULL, document TEXT NOT NULL, live INTEGER NOT NULL, cancelling_at INTEGER,
    good INTEGER NOT NULL DEFAULT 0, bad INTEGER NOT NULL DEFAULT 0, size INTEGER NOT NULL DEFAULT 0, owner TEXT NOT NULL DEFAULT '', until REAL NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS by_tenant ON batches (tenant, place);
CREATE INDEX IF NOT EXISTS by_live ON batches (live, until);
CREATE TABLE IF NOT EXISTS lines (
    batch TEXT NOT NULL, line INTEGER NOT NULL, good INTEGER NOT NULL, result BLOB NOT NULL, PRIMARY KEY (batch, line)
) WITHOUT ROWID;
"""
_PAGE = 100


class SqliteBatches:
    """A BatchStore in `path`."""

    def __init__(self, path: Path | None) -> None:
        self._database = Database(path, _SCHEMA, away)
        self._do = self._database.do

    async def add(self, batch: Batch) -> None:
        def work(db: sqlite3.Connection) -> None:
            old = "SELECT id FROM batches WHERE live = 0 AND until < ?"
            db.execute(f"DELETE FROM batches WHERE id IN ({old})", (time.time() - KEPT_SECONDS,))  # noqa: S608 -- two constants
            live = db.execute("SELECT count(*) FROM batches WHERE tenant = ? AND live = 1", (batch.tenant,)).fetchone()[0]
            if live >= MAX_LIVE:
                raise too_many()
            row = (batch.id, batch.tenant, batch.model_dump_json())
            db.execute("INSERT INTO batches (id, tenant, document, live) VALUES (?, ?, ?, 1)", row)

        await self._do(work)

    async def get(self, tenant: str, batch_id: str) -> Batch | None:
        return await self._do(lambda db: _one(db, "SELECT * FROM batches WHERE id = ? AND tenant = ?", batch_id, tenant))

    async def listed(self, tenant: str, after: str | None, limit: int) -> list[Batch]:
        def work(db: sqlite3.Connection) -> list[Batch]:
            before = "SELECT place FROM batches WHERE id = ? AND tenant = ?"
            found = db.execute(before, (after, tenant)).fetchone() if after is not None else (1 << 62,)
            if found is None:
                return []
            rows = db.execute("SELECT * FROM batches WHERE tenant = ? AND place < ? ORDER BY place DESC LIMIT ?", (tenant, found[0], limit))
            return [_batch(row) for row in rows]

        return await self._do(work)

    async def cancel(self, tenant: str, batch_id: str, now: int) -> Batch | None:
        def work(db: sqlite3.Connection) -> Batch | None:
            change = "UPDATE batches SET cancelling_at = coalesce(cancelling_at, ?) WHERE id = ? AND tenant = ? AND live = 1"
            db.execute(change, (now, batch_id, tenant))
            return _one(db, "SELECT * FROM batches WHERE id = ? AND tenant = ?", batch_id, tenant)

        return await self._do(work)

    async def claim(self, owner: str, seconds: float) -> Batch | None:
        def work(db: sqlite3.Connection) -> Batch | None:
            now = time.time()
            batch = _one(db, "SELECT * FROM batches WHERE live = 1 AND until <= ? ORDER BY place LIMIT 1", now)
            if batch is not None:
                db.execute("UPDATE batches SET owner = ?, until = ? WHERE id = ?", (owner, now + seconds, batch.id))
            return batch

        return await self._do(work)

    async def renew(self, batch: Batch, owner: str, seconds: float) -> Batch | None:
        def work(db: sqlite3.Connection) -> Batch | None:
            change = "UPDATE batches SET until = ? WHERE id = ? AND owner = ? AND live = 1"
            done = db.execute(change, (time.time() + seconds, batch.id, owner))
            return _one(db, "SELECT * FROM batches WHERE id = ?", batch.id) if done.rowcount else None

        return await self._do(work)

    async def release(self, batch: Batch, owner: str, seconds: float) -> None:
        change = "UPDATE batches SET owner = '', until = ? WHERE id = ? AND owner = ? AND live = 1"
        await self._do(lambda db: db.execute(change, (time.time() + seconds, batch.id, owner)))

    async def save(self, batch: Batch, owner: str) -> bool:
        def work(db: sqlite3.Connection) -> bool:
            values: list[object] = [batch.model_dump_json(), int(not batch.over)]
            change = "UPDATE batches SET document = ?, live = ?"
            if batch.over:  # from here on `until` is the time of its end
                change += ", until = ?"
                values.append(time.time())
            saved = db.execute(f"{change} WHERE id = ? AND owner = ? AND live = 1", (*values, batch.id, owner)).rowcount > 0
            if saved and batch.over:
                db.execute("DELETE FROM lines WHERE batch = ?", (batch.id,))
            return saved

        return await self._do(work)

    async def put(self, batch: Batch, line: int, result: bytes, *, good: bool) -> bool:
        def work(db: sqlite3.Connection) -> bool:
            kept = db.execute(
                "INSERT OR IGNORE INTO lines SELECT id, ?, ?, ? FROM batches WHERE id = ? AND live = 1", (line, good, result, batch.id)
            ).rowcount
            counts = "UPDATE batches SET good = good + ?, bad = bad + ?, size = size + ? WHERE id = ?"
            if kept:
                db.execute(counts, (int(good), int(not good), len(result), batch.id))
            return bool(kept)

        return await self._do(work)

    async def done(self, batch: Batch) -> set[int]:
        return await self._do(lambda db: {row[0] for row in db.execute("SELECT line FROM lines WHERE batch = ?", (batch.id,))})

    async def results(self, batch: Batch, *, good: bool) -> AsyncIterator[bytes]:
        page = "SELECT line, result FROM lines WHERE batch = ? AND good = ? AND line > ? ORDER BY line LIMIT ?"
        last = -1
        while True:
            values = (batch.id, int(good), last, _PAGE)
            rows = await self._do(lambda db, values=values: db.execute(page, values).fetchall())
            if not rows:
                return
            for row in rows:
                yield row["result"]
            last = rows[-1]["line"]

    async def aclose(self) -> None:
        await self._database.aclose()


def _one(db: sqlite3.Connection, query: str, *values: object) -> Batch | None:
    row = db.execute(query, values).fetchone()
    return None if row is None else _batch(row)


def _batch(row: sqlite3.Row) -> Batch:
    apart = {name: row[name] for name in ("cancelling_at", "good", "bad", "size")}
    return Batch.model_validate_json(row["document"]).model_copy(update=apart)
