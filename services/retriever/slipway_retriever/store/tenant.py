"""One tenant's database and file folder: a connection, a lock, and transactions. Isolation is physical: a tenant is a folder.

It refuses to know what is stored; the modules beside it do.
"""

import contextlib
import hashlib
import os
import re
import secrets
import shutil
import sqlite3
import threading
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import BinaryIO

from slipway_retriever.store import schema

_BLOCK = 1 << 20
_FILE_ID = re.compile(r"^file-[0-9a-f]{24}$")


class Tenant:
    """Reads and writes are serialised by one lock: statements are short, and long work (parsing, embedding) holds none."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self._files = folder / "files"
        self._files.mkdir(parents=True, exist_ok=True)
        self._connection = schema.connect(folder / "store.db")
        self._lock = threading.RLock()
        self.revision = 0
        """Grows with every transaction: what was read under another revision may be out of date."""

    @contextlib.contextmanager
    def transaction(self) -> Generator[sqlite3.Connection]:
        """All or nothing, durable when the block is left without an error."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")
            self.revision += 1

    def rows(self, sql: str, values: Sequence[str | int | float | bytes | None] = ()) -> list[sqlite3.Row]:
        """The rows of one reading statement."""
        with self._lock:
            return self._connection.execute(sql, values).fetchall()

    def row(self, sql: str, values: Sequence[str | int | float | bytes | None] = ()) -> sqlite3.Row | None:
        """The first row, if there is one."""
        with self._lock:
            return self._connection.execute(sql, values).fetchone()

    def forget(self) -> None:
        """Move the write-ahead log into the database and empty it, so that deleted text leaves no copy there."""
        with self._lock:
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()

    def blob_path(self, file_id: str) -> Path:
        """Where the bytes of `file_id` are."""
        assert _FILE_ID.match(file_id), "ids come from the database, never from a caller"
        return self._files / file_id

    def write_blob(self, file_id: str, source: BinaryIO) -> None:
        """Write the bytes durably: complete under their name, or not there at all."""
        target = self.blob_path(file_id)
        scratch = self._files / f".{secrets.token_hex(8)}.part"
        try:
            with scratch.open("xb") as file:
                shutil.copyfileobj(source, file, _BLOCK)
                file.flush()
                os.fsync(file.fileno())
            scratch.replace(target)
        finally:
            scratch.unlink(missing_ok=True)
        _sync_folder(self._files)

    def sweep_blobs(self) -> None:
        """Remove what a crash left between a file's bytes and its row."""
        known = {row["id"] for row in self.rows("SELECT id FROM files")}
        for path in self._files.iterdir():
            if path.name not in known:
                path.unlink(missing_ok=True)

    def close(self) -> None:
        with self._lock:
            self._connection.close()


def digest_of(source: BinaryIO) -> str:
    """SHA-256 of a stream from its beginning; the stream is left at its beginning."""
    source.seek(0)
    total = hashlib.sha256()
    while block := source.read(_BLOCK):
        total.update(block)
    source.seek(0)
    return total.hexdigest()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
