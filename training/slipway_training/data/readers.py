"""Text out of JSONL, JSON, plain text, Parquet and Hugging Face datasets, at any fsspec URL, one document at a time and within bounds.

It knows formats and file systems. It refuses to know what the text is for; what it passes over is counted in the tally.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from typing import IO, cast

from slipway_training.data.document import Document, Tally
from slipway_training.data.files import open_files, public, whole
from slipway_training.data.invented import prose
from slipway_training.data.mixture import Reading
from slipway_training.errors import ConfigError, DataMissing, StackMissing

try:
    import pyarrow as pa
    from pyarrow import parquet
except ImportError as error:  # pragma: no cover - depends on the installation
    raise StackMissing(error.name or "pyarrow", "data") from error

BATCH_ROWS = 256
_INVENTED = re.compile(r"invented:(\d{1,7})(?:/(\d{1,9}))?")
_FIELD = re.compile(r"\{([\w.]+)\}")
_TAG = re.compile(r"<[^<>]{1,200}>")
_BLANK = re.compile(r"\n[ \t]*(?:\n[ \t]*)+")
Record = Mapping[str, object]
Advance = Callable[[int], None]
"""Told the number of characters of each document that was read."""


def read(reading: Reading, tally: Tally, advance: Advance | None = None) -> Iterator[Document]:
    """Documents of one source, in the order of its sorted files; raises DataMissing when there are no files or nothing in them can be read."""
    number = 0
    for text in _texts(reading, tally):
        for piece in _pieces(text, reading.max_characters):
            if not piece.strip():
                tally.dropped["empty"] += 1
                continue
            tally.read += 1
            tally.characters_read += len(piece)
            if advance:
                advance(len(piece))
            yield Document(piece, reading.name, number)
            number += 1
            if reading.max_documents and number >= reading.max_documents:
                return
    if not number:
        raise DataMissing(
            f"source {reading.name}: {reading.url} holds no text that can be read as {reading.format} ({dict(tally.dropped)})"
        )


def records(reading: Reading, tally: Tally) -> Iterator[Record]:
    """Every record as it is: for what needs more than one text of it. Plain text is a record with the field `text`; raises DataMissing, ConfigError."""
    if reading.format == "invented":
        yield from ({"text": text} for text in _invented(reading))
        return
    for file in open_files(reading):
        with whole(reading, file), file.open() as handle:
            if reading.format == "text":
                yield from ({"text": text} for text in _plain(handle, reading, tally))
            else:
                yield from _records(handle, reading, tally)


def _texts(reading: Reading, tally: Tally) -> Iterator[str]:
    render = renderer("text" if reading.format in ("text", "invented") else reading.text)
    for record in records(reading, tally):
        text = render(record)
        if text is None:
            tally.dropped["no_text_field"] += 1
        else:
            yield text


def _invented(reading: Reading) -> Iterator[str]:
    made = _INVENTED.fullmatch(reading.url)
    if made is None:
        raise ConfigError(f"source {reading.name}: url of invented text is invented:COUNT or invented:COUNT/SEED, not {reading.url!r}")
    seed = int(made.group(2) or 0)
    yield from (prose(seed + i, 8 + i % 24) for i in range(int(made.group(1))))


def _records(handle: IO[bytes], reading: Reading, tally: Tally) -> Iterator[Record]:
    match reading.format:
        case "jsonl":
            yield from _json_lines(handle, reading, tally)
        case "json":
            yield from _json_file(handle, reading)
        case "parquet":
            file = parquet.ParquetFile(handle)
            for batch in file.iter_batches(batch_size=BATCH_ROWS):
                yield from cast("list[Record]", batch.to_pylist())
        case _:
            # `datasets` writes Arrow streams; its own loader would map them, which only local files can.
            with closing(pa.ipc.open_stream(handle)) as stream:
                for batch in stream:
                    for start in range(0, batch.num_rows, BATCH_ROWS):
                        yield from cast("list[Record]", batch.slice(start, BATCH_ROWS).to_pylist())


def _json_lines(handle: IO[bytes], reading: Reading, tally: Tally) -> Iterator[Record]:
    for line in _lines(handle, reading.max_line_bytes, tally):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError:
            tally.dropped["not_json"] += 1
            continue
        if isinstance(record, dict):
            yield cast("Record", record)
        else:
            tally.dropped["not_an_object"] += 1


def _json_file(handle: IO[bytes], reading: Reading) -> Iterator[Record]:
    """A list of objects is one record each; any other value is one record whose `text` is its strings, each under its path."""
    raw = handle.read(reading.max_line_bytes + 1)
    if len(raw) > reading.max_line_bytes:
        raise ConfigError(
            f"source {reading.name}: a JSON file has more than max_line_bytes={reading.max_line_bytes}; raise it or use jsonl"
        )
    try:
        value = json.loads(raw)
    except ValueError as error:
        raise DataMissing(f"source {reading.name}: a file at {public(reading.url)} is not JSON ({error})") from error
    if isinstance(value, list):
        yield from (cast("Record", item) for item in cast("list[object]", value) if isinstance(item, dict))
    else:
        record = cast("dict[str, object]", value) if isinstance(value, dict) else {}
        yield record if "text" in record else {**record, "text": "\n".join(_strings("", value))}


def _strings(path: str, value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in cast("dict[str, object]", value).items():
            yield from _strings(key if key != "text" else path, inner)
    elif isinstance(value, list):
        for inner in cast("list[object]", value):
            yield from _strings(path, inner)
    elif isinstance(value, str) and value.strip():
        plain = _TAG.sub(" ", value).strip()
        yield f"{path}: {plain}" if path else plain


def _plain(handle: IO[bytes], reading: Reading, tally: Tally) -> Iterator[str]:
    if reading.split == "file":
        # A file past the bound comes in pieces of it, cut at a line.
        held: list[str] = []
        size = 0
        for line in _lines(handle, reading.max_line_bytes, tally):
            held.append(_decoded(line, tally))
            size += len(held[-1])
            if size >= reading.max_characters:
                yield "".join(held)
                held, size = [], 0
        yield "".join(held)
    elif reading.split == "lines":
        yield from (_decoded(line, tally) for line in _lines(handle, reading.max_line_bytes, tally))
    else:
        yield from _blocks(handle, reading, tally)


def _blocks(handle: IO[bytes], reading: Reading, tally: Tally) -> Iterator[str]:
    """Whole paragraphs up to `block_characters`; blank lines end paragraphs, and where a file has none every line is one."""
    held: list[str] = []
    size = 0
    for line in _lines(handle, reading.max_line_bytes, tally):
        text = _decoded(line, tally)
        held.append(text)
        size += len(text)
        if size >= reading.block_characters and (not text.strip() or size >= 2 * reading.block_characters):
            yield _BLANK.sub("\n\n", "".join(held)).strip()
            held, size = [], 0
    yield _BLANK.sub("\n\n", "".join(held)).strip()


def _lines(handle: IO[bytes], limit: int, tally: Tally) -> Iterator[bytes]:
    """Lines of at most `limit` bytes; a longer one is read past in pieces, never held."""
    while line := handle.readline(limit + 1):
        if len(line) <= limit:
            yield line
            continue
        tally.dropped["line_too_long"] += 1
        while line and not line.endswith(b"\n"):
            line = handle.readline(limit + 1)


def _decoded(line: bytes, tally: Tally) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        tally.changed["not_utf8"] += 1
        return line.decode("cp1252", "replace")


def _pieces(text: str, limit: int) -> Iterator[str]:
    for start in range(0, len(text), limit):
        yield text[start : start + limit]


def renderer(text: str) -> Callable[[Record], str | None]:
    """A record's text by a field name or a template; None when a field is missing. Names only: a template cannot reach attributes."""
    if "{" not in text:
        return lambda record: _value(record, text)
    names = _FIELD.findall(text)
    if not names:
        raise ConfigError(f"text={text!r} names no field; write a field name or a template such as '{{question}} {{answer}}'")

    def render(record: Record) -> str | None:
        values = {name: _value(record, name) for name in names}
        if any(v is None for v in values.values()):
            return None
        return _FIELD.sub(lambda m: values[m.group(1)] or "", text)

    return render


def _value(record: Record, path: str) -> str | None:
    value: object = record
    for key in path.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(key)
    if isinstance(value, list):
        return "\n".join(str(v) for v in cast("list[object]", value))
    return None if value is None else str(value)
