"""CSV, JSON and JSON lines: every row or record becomes lines of `name: value`, so that a passage says what its figures mean."""

import csv
import io
import json
import re
from collections.abc import Iterator

from slipway_retriever.parse.decode import decode
from slipway_retriever.parse.document import Bounds, Document, DocumentWriter, ParseError

MAX_DEPTH = 64
MAX_FIELD = 1 << 20
_TAG = re.compile(r"<[^<>]{1,500}>")

Json = str | int | float | bool | None | list["Json"] | dict[str, "Json"]


def parse_table(raw: bytes, bounds: Bounds) -> Document:
    """One block per row, its cells named by the first row."""
    text = decode(raw)
    csv.field_size_limit(MAX_FIELD)
    try:
        dialect = csv.Sniffer().sniff(text[:8192], delimiters=",;\t|")
    except csv.Error:
        dialect = csv.excel
    writer = DocumentWriter(bounds.max_chars)
    try:
        rows = csv.reader(io.StringIO(text, newline=""), dialect)
        names = next(rows, [])
        for row in rows:
            cells = [
                f"{name.strip()}: {cell.strip()}" if name.strip() else cell.strip() for name, cell in _named(names, row) if cell.strip()
            ]
            writer.block("; ".join(cells), "table")
    except csv.Error as error:
        raise ParseError("invalid_file", f"The table cannot be read: {error}.") from None
    try:
        return writer.document()
    except ParseError:
        raise ParseError("invalid_file", "The table has a heading at most, and no rows.") from None


def parse_records(raw: bytes, bounds: Bounds) -> Document:
    """JSON: one block per leaf path. JSON lines: one block per record."""
    text = decode(raw)
    writer = DocumentWriter(bounds.max_chars)
    try:
        whole = json.loads(text)
    except RecursionError:
        raise ParseError("unsupported_file", f"The JSON is nested deeper than {MAX_DEPTH} levels.") from None
    except ValueError:
        _lines(text, writer)
    else:
        for record in whole if isinstance(whole, list) else [whole]:
            _record(record, writer)
    return writer.document()


def _lines(text: str, writer: DocumentWriter) -> None:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except RecursionError:
            raise ParseError("unsupported_file", f"Line {number} is nested deeper than {MAX_DEPTH} levels.") from None
        except ValueError:
            raise ParseError("invalid_file", f"Line {number} is not valid JSON.") from None
        _record(record, writer)


def _record(record: Json, writer: DocumentWriter) -> None:
    """A flat record is one block; a nested one has a heading for each branch."""
    if isinstance(record, dict) and any(isinstance(value, dict) for value in record.values()):
        for name, value in record.items():
            writer.heading(1, name)
            _branch(value, writer, 2)
        return
    writer.block("\n".join(_leaves(record, "", 0)), "table")


def _branch(value: Json, writer: DocumentWriter, level: int) -> None:
    if isinstance(value, dict) and any(isinstance(inner, dict) for inner in value.values()) and level < 6:
        for name, inner in value.items():
            writer.heading(level, name)
            _branch(inner, writer, level + 1)
        return
    writer.block("\n".join(_leaves(value, "", level)), "table")


def _leaves(value: Json, path: str, depth: int) -> Iterator[str]:
    if depth > MAX_DEPTH:
        raise ParseError("unsupported_file", f"The JSON is nested deeper than {MAX_DEPTH} levels.")
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _leaves(inner, f"{path}.{name}" if path else name, depth + 1)
    elif isinstance(value, list):
        if all(not isinstance(inner, (dict, list)) for inner in value):
            yield _line(path, ", ".join(str(inner) for inner in value if inner is not None))
        else:
            for inner in value:
                yield from _leaves(inner, path, depth + 1)
    elif value is not None:
        yield _line(path, str(value))


def _line(path: str, value: str) -> str:
    value = _TAG.sub(" ", value).strip()
    return f"{path}: {value}" if path and path != "text" else value


def _named(names: list[str], row: list[str]) -> list[tuple[str, str]]:
    return list(zip([*names, *[""] * (len(row) - len(names))], row, strict=False))
