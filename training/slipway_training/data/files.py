"""The files behind a URL of any fsspec file system, in one order, and the digest of what is in them.

It knows paths, globs, chained URLs and compression by suffix. It refuses to know formats.
"""

import hashlib
import json
import lzma
import re
import zlib
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from typing import IO, Any, cast

from slipway_training.data.mixture import Reading, Source
from slipway_training.data.origin import Origin
from slipway_training.errors import DataMissing, StackMissing

try:
    import fsspec
    import pyarrow as pa
except ImportError as error:  # pragma: no cover - depends on the installation
    raise StackMissing(error.name or "fsspec", "data") from error

CHUNK = 1 << 20


class File:
    """One file, not yet opened. `path` is its path on its file system."""

    def __init__(self, opened: Any) -> None:
        """`opened` is fsspec's OpenFile, which the library leaves untyped."""
        self._opened = opened
        self.path = str(opened.path)

    def exists(self) -> bool:
        """Whether it is there, as a file."""
        return bool(self._opened.fs.isfile(self.path))

    def open(self) -> AbstractContextManager[IO[bytes]]:
        """Its bytes, decompressed when the suffix says so."""
        return cast("AbstractContextManager[IO[bytes]]", self._opened)


def open_files(reading: Reading) -> list[File]:
    """The source's files, sorted by path, not yet opened; raises DataMissing with the URL."""
    compression = None if reading.format in ("parquet", "dataset") else "infer"
    options: dict[str, Any] = dict(reading.storage)
    try:
        urls = _dataset_files(reading) if reading.format == "dataset" else reading.url
        files = [File(f) for f in fsspec.open_files(urls, mode="rb", compression=compression, expand=True, **options)]
        found = sorted((f for f in files if f.exists()), key=lambda f: f.path)
    except (OSError, ValueError, ImportError, KeyError) as error:
        raise DataMissing(f"source {reading.name}: {public(reading.url)} cannot be opened ({error})") from error
    if not found:
        far = ", or its store does not show it to us (endpoint, credentials)" if "://" in reading.url else ""
        raise DataMissing(f"source {reading.name}: there is no file at {public(reading.url)}{far}")
    return found


def origin(source: Source) -> Origin:
    """The provenance of a source with a digest over its bytes; reads every file once, in chunks. Raises DataMissing."""
    sums, total = hashlib.sha256(), 0
    files = [] if source.format == "invented" else open_files(source)
    if source.format == "invented":
        sums.update(source.url.encode())
    for file in files:
        one = hashlib.sha256()
        with whole(source, file), file.open() as handle:
            while block := handle.read(CHUNK):
                one.update(block)
                total += len(block)
        sums.update(file.path.rsplit("/", 1)[-1].encode() + b"\0" + one.digest())
    return Origin(
        url=public(source.url), licence=source.licence, attribution=source.attribution, domain=source.domain, files=len(files), bytes_read=total,
        sha256=sums.hexdigest(),
    )  # fmt: skip


@contextmanager
def whole(reading: Reading, file: File) -> Generator[None]:
    """Within it `file` is read; raises DataMissing naming it when it is damaged, cut off, or of another format or compression."""
    try:
        yield
    except (OSError, EOFError, pa.ArrowInvalid, zlib.error, lzma.LZMAError) as error:
        raise DataMissing(
            f"source {reading.name}: {public(file.path)} cannot be read as {reading.format}: {' '.join(str(error).split())}"
        ) from error


def public(url: str) -> str:
    """The URL without a user part and without this machine's folders: provenance names the data, not where it happened to lie."""
    *outer, last = re.sub(r"//[^/@]*@", "//", url).split("::")
    if "://" not in last or last.startswith("file://"):
        last = "/".join(last.rstrip("/").rsplit("/", 2)[-2:])
    return "::".join([*outer, last])


def _dataset_files(reading: Reading) -> list[str]:
    """The files that a saved dataset's state.json names: its folder may hold cached results of `map` beside them."""
    folder = reading.url.rstrip("/")
    options: dict[str, Any] = dict(reading.storage)
    with cast("AbstractContextManager[IO[bytes]]", fsspec.open(f"{folder}/state.json", "rb", **options)) as handle:
        state = json.load(handle)
    if not isinstance(state, dict) or "_data_files" not in state:
        raise ValueError("its state.json is not one that Dataset.save_to_disk wrote")
    return [f"{folder}/{file['filename']}" for file in state["_data_files"]]
