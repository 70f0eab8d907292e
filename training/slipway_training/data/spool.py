"""Documents between two steps: a Parquet file beside a note of what it was made from, written whole or not at all.

It knows files and stamps. It refuses to know what a step does: a step that finds its own stamp is already done, and that is what makes the work restartable.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, cast

from slipway_training.data.document import Document
from slipway_training.errors import StackMissing

try:
    import pyarrow as pa
    from pyarrow import parquet
except ImportError as error:  # pragma: no cover - depends on the installation
    raise StackMissing(error.name or "pyarrow", "data") from error

_SCHEMA = pa.schema([("number", pa.int64()), ("text", pa.string())])
GROUP = 512
"""Documents of a row group: what is held in memory at a time."""


def stamp(*parts: object) -> str:
    """One name for everything that a step's result depends on."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


class Spool:
    """The documents of one source after one step."""

    def __init__(self, folder: Path, name: str) -> None:
        """Files are `folder/NAME.parquet` and `folder/NAME.json`."""
        self.name = name
        self._file = folder / f"{name}.parquet"
        self._note = folder / f"{name}.json"

    def made_from(self, wanted: str) -> bool:
        """Whether it is whole and was made from this very stamp."""
        return self._file.is_file() and self.note().get("stamp") == wanted

    def note(self) -> dict[str, Any]:
        """What the step wrote beside the documents; empty when it never ended."""
        if not self._note.is_file():
            return {}
        return cast("dict[str, Any]", json.loads(self._note.read_text(encoding="utf-8")))

    def write(self, documents: Iterable[Document]) -> int:
        """Write the documents; they count only once `finish` has been called. Returns how many."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._note.unlink(missing_ok=True)
        part = self._file.with_suffix(".part")
        count, group = 0, list[Document]()
        try:
            with parquet.ParquetWriter(part, _SCHEMA, compression="zstd") as writer:
                for document in documents:
                    group.append(document)
                    count += 1
                    if len(group) == GROUP:
                        writer.write_batch(_batch(group))
                        group.clear()
                if group:
                    writer.write_batch(_batch(group))
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        part.replace(self._file)
        return count

    def finish(self, made_from: str, **note: object) -> None:
        """Say what it was made from, and whatever the step counted."""
        part = self._note.with_suffix(".part.json")
        part.write_text(json.dumps({"stamp": made_from, **note}, indent=1), encoding="utf-8")
        part.replace(self._note)

    def read(self) -> Iterator[Document]:
        """The documents in the order in which they were written."""
        with parquet.ParquetFile(self._file) as file:
            for batch in file.iter_batches(batch_size=GROUP):
                numbers, texts = batch.column("number").to_pylist(), batch.column("text").to_pylist()
                yield from (Document(cast("str", t), self.name, cast("int", n)) for n, t in zip(numbers, texts, strict=True))


def _batch(group: list[Document]) -> Any:
    return pa.RecordBatch.from_pydict({"number": [d.number for d in group], "text": [d.text for d in group]}, schema=_SCHEMA)
