"""The folder that a command writes into: made before the work begins, and taken away again when nothing came of it.

It knows folders. It refuses to know what is written there.
"""

import tempfile
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from slipway_training.errors import ConfigError


@contextmanager
def claimed(folder: Path, key: str) -> Generator[Path]:
    """Within it `folder` exists and can be written; when the body raises, folders that were made here and are still empty go again.

    `key` is what names the folder on the command line. Raises ConfigError before any work when nothing can be written there.
    """
    made = _made(folder, key)
    try:
        yield folder
    except BaseException:
        _drop(made)
        raise


def writable(folder: Path, key: str) -> Path:
    """`folder`, which need not exist; raises ConfigError where nothing can be written, as `claimed` does. Leaves no trace."""
    _drop(_made(folder, key))
    return folder


def _made(folder: Path, key: str) -> list[Path]:
    """The folders that had to be made, the innermost first."""
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        _drop(made)
        raise ConfigError(f"nothing can be written to {folder} ({error.strerror}): choose another folder by {key}") from error
    return made


def _drop(made: list[Path]) -> None:
    for path in made:
        with suppress(OSError):  # not empty: what stands there is worth keeping
            path.rmdir()
