"""The lock of a frozen tokenizer: tokenizer.lock.json holds the digests of its files, and whoever loads one that differs is refused.

It knows files and digests. It refuses to know how a tokenizer was trained. Rows, checkpoints and releases carry `sha256` of tokenizer.json.
"""

import hashlib
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError
from tokenizers import Tokenizer

from slipway_training.errors import ConfigError, DataMissing
from slipway_training.tokenizer import load_tokenizer

LOCK = "tokenizer.lock.json"
FILE = "tokenizer.json"


class Lock(BaseModel):
    """tokenizer.lock.json: the digest of every file of the folder, and what the vocabulary is."""

    model_config = ConfigDict(frozen=True)

    name: str
    kind: str
    vocab_size: int
    sha256: str
    files: dict[str, str]
    mixture: str = ""


def freeze(folder: Path, name: str, kind: str, vocab_size: int, mixture: str) -> Lock:
    """Write the lock over every tokenizer file in `folder`; `mixture` is the stamp of the text it was trained on."""
    files = {f.name: digest(f) for f in sorted(folder.iterdir()) if f.is_file() and f.name not in (LOCK, "README.md")}
    lock = Lock(name=name, kind=kind, vocab_size=vocab_size, sha256=files[FILE], files=files, mixture=mixture)
    (folder / LOCK).write_text(lock.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return lock


def load_frozen(where: Path, expected: str | None = None) -> tuple[Tokenizer, str]:
    """The tokenizer at `where` (tokenizer.json or its folder) and its sha256.

    Raises DataMissing when there is none, ConfigError when it differs from the lock beside it or from the `expected` digest of a run.
    """
    path = where / FILE if where.is_dir() else where
    if not path.is_file():
        raise DataMissing(f"there is no tokenizer at {path}; make one with `train tokenizer`")
    found = digest(path)
    lock = _read(path.with_name(LOCK))
    if lock and lock.sha256 != found:
        raise ConfigError(
            f"{path} was changed after it was frozen (sha256 {found[:12]}, {LOCK} says {lock.sha256[:12]}): restore it or train anew"
        )
    if expected is not None and found != expected:
        raise ConfigError(f"{path} (sha256 {found[:12]}) is not the tokenizer that this was made with ({expected[:12]})")
    return load_tokenizer(path), found


def verify(folder: Path) -> Lock:
    """Every file of a frozen folder against its lock; raises ConfigError naming the first that differs, DataMissing without a lock."""
    lock = _read(folder / LOCK)
    if lock is None:
        raise DataMissing(f"{folder} holds no {LOCK}: it was not frozen")
    for name, wanted in lock.files.items():
        path = folder / name
        if not path.is_file() or digest(path) != wanted:
            raise ConfigError(f"{path} is not the file that was frozen")
    return lock


def digest(path: Path) -> str:
    """The sha256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _read(path: Path) -> Lock | None:
    if not path.is_file():
        return None
    try:
        return Lock.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise ConfigError(f"{path} is no tokenizer lock: {error.errors()[0]['msg']}") from error
