"""Copies of checkpoints in any fsspec store (S3, GCS, a network folder), made while training goes on; and back again after a node was lost.

It knows files, retries and the mark of a whole copy. It refuses to know what a checkpoint holds. A failed upload never stops a run: it is said.
"""

import os
import shutil
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tenacity import Retrying, stop_after_attempt, wait_random_exponential

from slipway_training.errors import CheckpointError, StackMissing

try:
    import fsspec
except ImportError as error:  # pragma: no cover - depends on the installation
    raise StackMissing(error.name or "fsspec", "data") from error

WHOLE = "WHOLE"
ATTEMPTS = 5
LONGEST_WAIT = 20.0


class Uploader:
    """One thread that copies folders to `url`, the newest last. Files are linked aside first, so that the run may drop its own."""

    def __init__(self, url: str, aside: Path) -> None:
        self.store, self._root = _open(url)
        self._aside = aside
        self._pool = ThreadPoolExecutor(1, "upload")
        self._running: list[tuple[str, Future[None]]] = []

    def send(self, folder: Path) -> None:
        """Begin to copy `folder`; returns at once."""
        held = self._aside / folder.name
        shutil.rmtree(held, ignore_errors=True)
        held.mkdir(parents=True)
        for path in folder.iterdir():
            os.link(path, held / path.name)
        self._running.append((folder.name, self._pool.submit(self._copy, held)))

    def close(self) -> list[str]:
        """Wait for what was begun; what failed, in words."""
        self._pool.shutdown(wait=True)
        shutil.rmtree(self._aside, ignore_errors=True)
        return [f"{name} was not uploaded: {error}" for name, future in self._running if (error := future.exception()) is not None]

    def _copy(self, held: Path) -> None:
        target = f"{self._root}/{held.name}"
        _again(lambda: self.store.makedirs(target, exist_ok=True))
        for path in sorted(held.iterdir()):
            _again(lambda path=path: self.store.put_file(str(path), f"{target}/{path.name}"))
        # The mark comes last: a copy without it was cut off.
        _again(lambda: self.store.pipe_file(f"{target}/{WHOLE}", b""))
        shutil.rmtree(held, ignore_errors=True)


def fetch_newest(url: str, folder: Path) -> str | None:
    """Copy the newest whole checkpoint of `url` into `folder`, and return its name; None where there is none. Raises CheckpointError when the store fails."""
    store, root = _open(url)
    try:
        names = sorted(Path(str(p)).name for p in store.ls(root, detail=False)) if store.exists(root) else []
        for name in reversed([n for n in names if n.startswith("step-")]):
            if store.exists(f"{root}/{name}/{WHOLE}"):
                part = folder / f".{name}.part"
                shutil.rmtree(part, ignore_errors=True)
                part.mkdir(parents=True)
                for file in map(str, store.ls(f"{root}/{name}", detail=False)):
                    target = str(part / Path(file).name)
                    if Path(file).name != WHOLE:
                        _again(lambda file=file, target=target: store.get_file(file, target))
                part.replace(folder / name)
                return name
    except OSError as error:
        raise CheckpointError(f"{url} cannot be read: {error}") from error
    return None


def _open(url: str) -> tuple[Any, str]:
    try:
        store, root = fsspec.core.url_to_fs(url)
        store.makedirs(root, exist_ok=True)
    except (OSError, ValueError, ImportError) as error:
        raise CheckpointError(f"run.upload_to={url} cannot be opened: {error}") from error
    return store, str(root).rstrip("/")


def _again(action: Any) -> None:
    """Try with jittered exponential waits (Brooker 2015, "full jitter")."""
    for attempt in Retrying(
        stop=stop_after_attempt(ATTEMPTS), wait=wait_random_exponential(multiplier=0.2, max=LONGEST_WAIT), reraise=True
    ):
        with attempt:
            action()
