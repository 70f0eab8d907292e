"""One SQLite file, shared by the processes of one machine: every piece of work is one transaction. It refuses to know what is kept there."""

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


class Database:
    """Opened when it is first used. `path` None: in memory, for this process alone. Raises what `away` makes when the file cannot be used."""

    def __init__(self, path: Path | None, schema: str, away: Callable[[], Exception]) -> None:
        self._path = path
        self._schema = schema
        self._away = away
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    async def do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """What `work` returns, on a thread; undone as a whole when it raises."""
        try:
            return await asyncio.to_thread(self._locked, work)
        except (sqlite3.OperationalError, OSError) as error:
            raise self._away() from error

    async def aclose(self) -> None:
        """Closes it."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _locked(self, work: Callable[[sqlite3.Connection], T]) -> T:
        with self._lock, _transaction(self._open()) as db:
            return work(db)

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            if self._path is not None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
            db = sqlite3.connect(self._path or ":memory:", timeout=10, isolation_level=None, check_same_thread=False)
            db.row_factory = sqlite3.Row
            # A killed process loses nothing that was committed; a machine that loses its power may lose the last moments.
            db.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;" + self._schema)
            self._connection = db
        return self._connection


@contextlib.contextmanager
def _transaction(db: sqlite3.Connection) -> Generator[sqlite3.Connection]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield db
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")
