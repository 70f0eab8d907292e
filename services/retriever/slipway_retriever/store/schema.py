"""The tables of one tenant's database, and the pragmas under which it loses nothing.

Vectors are blobs beside their text, in the transaction that stores both, so that no crash can leave one without the other; FAISS indexes are built from
them and cached, and a damaged cache costs a rebuild, never data. It refuses to know what the columns mean to anybody.
"""

import sqlite3
from pathlib import Path

VERSION = 2

TABLES = """
CREATE TABLE IF NOT EXISTS files (
    id TEXT PRIMARY KEY, sha256 TEXT NOT NULL, filename TEXT NOT NULL, purpose TEXT NOT NULL, bytes INTEGER NOT NULL, created_at INTEGER NOT NULL,
    UNIQUE (sha256, filename, purpose)
) STRICT;
CREATE TABLE IF NOT EXISTS stores (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, created_at INTEGER NOT NULL, last_active_at INTEGER NOT NULL, metadata TEXT NOT NULL DEFAULT '{}'
) STRICT;
CREATE TABLE IF NOT EXISTS store_files (
    number INTEGER PRIMARY KEY AUTOINCREMENT, store_id TEXT NOT NULL REFERENCES stores ON DELETE CASCADE,
    file_id TEXT NOT NULL REFERENCES files ON DELETE CASCADE, created_at INTEGER NOT NULL, status TEXT NOT NULL, stage TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0, error_code TEXT, error_message TEXT, attributes TEXT NOT NULL DEFAULT '{}',
    chunk_tokens INTEGER NOT NULL, overlap_tokens INTEGER NOT NULL, embedder TEXT NOT NULL DEFAULT '', text TEXT,
    UNIQUE (store_id, file_id)
) STRICT;
CREATE INDEX IF NOT EXISTS store_files_waiting ON store_files (number) WHERE status = 'in_progress';
CREATE INDEX IF NOT EXISTS store_files_file ON store_files (file_id);
CREATE TABLE IF NOT EXISTS passages (
    number INTEGER PRIMARY KEY AUTOINCREMENT, entry INTEGER NOT NULL REFERENCES store_files (number) ON DELETE CASCADE, ordinal INTEGER NOT NULL,
    title TEXT NOT NULL, text TEXT NOT NULL, start INTEGER NOT NULL, end INTEGER NOT NULL, vector BLOB, UNIQUE (entry, ordinal)
) STRICT;
CREATE TABLE IF NOT EXISTS batches (
    id TEXT PRIMARY KEY, store_id TEXT NOT NULL REFERENCES stores ON DELETE CASCADE, created_at INTEGER NOT NULL, cancelled INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE IF NOT EXISTS batch_files (
    batch_id TEXT NOT NULL REFERENCES batches ON DELETE CASCADE, file_id TEXT NOT NULL REFERENCES files ON DELETE CASCADE,
    PRIMARY KEY (batch_id, file_id)
) STRICT;
"""


def connect(path: Path) -> sqlite3.Connection:
    """Open or create the database at `path`. The connection may be used by several threads, one at a time."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30.0)
    connection.row_factory = sqlite3.Row
    # FULL: a commit that was answered is on the disk. secure_delete: deleted text is overwritten, not only unlinked.
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "secure_delete=ON", "trusted_schema=OFF"):
        connection.execute(f"PRAGMA {pragma}").fetchone()
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > VERSION:
        raise UnknownVersion(f"{path} was written by a later release (schema {version}, this one reads up to {VERSION})")
    # So far every version only added tables, so that an older database is brought up by the same statements.
    if version < VERSION:
        connection.executescript(f"BEGIN IMMEDIATE; {TABLES} PRAGMA user_version={VERSION}; COMMIT;")
    return connection


class UnknownVersion(Exception):
    """The database belongs to a release that this one cannot read."""
