"""The data folder: a lock against a second process, and its tenants, opened when first asked for. It refuses to know what a tenant stores."""

import fcntl
import os
import re
import threading
import time
from pathlib import Path

from slipway_retriever.store.passages import count
from slipway_retriever.store.tenant import Tenant

_NAME = re.compile(r"^[a-z0-9][a-z0-9_-]{0,63}$")


class FolderInUse(Exception):
    """Another process holds the data folder."""


class Tenants:
    """All tenants under one folder. Two processes on it would serve stale indexes to each other's callers, so there is a lock."""

    def __init__(self, folder: Path, *, lock_seconds: float) -> None:
        self._folder = folder / "tenants"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._descriptor = _locked(folder / "lock", lock_seconds)
        self._open: dict[str, Tenant] = {}
        self._lock = threading.Lock()

    def get(self, name: str) -> Tenant:
        """The tenant called `name`, created when new. `name` was checked at the door; it is checked again because it becomes a path."""
        if not _NAME.match(name):
            raise ValueError("a tenant's name is lower-case letters, digits, - and _")
        with self._lock:
            if name not in self._open:
                tenant = Tenant(name, self._folder / name)
                tenant.sweep_blobs()
                self._open[name] = tenant
            return self._open[name]

    def on_disk(self) -> list[str]:
        """The names of all tenants that have a database."""
        return sorted(path.name for path in self._folder.iterdir() if (path / "store.db").is_file() and _NAME.match(path.name))

    def passages(self) -> int:
        """How many passages all open tenants have."""
        with self._lock:
            tenants = list(self._open.values())
        return sum(count(tenant) for tenant in tenants)

    def close(self) -> None:
        with self._lock:
            for tenant in self._open.values():
                tenant.close()
            self._open.clear()
        os.close(self._descriptor)


def _locked(path: Path, seconds: float) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                os.close(descriptor)
                raise FolderInUse(f"{path.parent} is used by another retriever (SLIPWAY_RETRIEVER_DATA_DIR)") from None
            time.sleep(0.05)
        else:
            return descriptor
