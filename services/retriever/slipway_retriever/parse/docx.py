"""Word documents by python-docx: headings, paragraphs and tables in order. The archive is measured before anything is unpacked."""

import io
import zipfile
import zlib
from collections.abc import Iterator

import docx
from docx.document import Document as DocxDocument
from docx.opc.exceptions import OpcError
from docx.table import Table
from docx.text.paragraph import Paragraph
from lxml.etree import LxmlError

from slipway_retriever.parse.document import Bounds, Document, DocumentWriter, ParseError

MAX_UNPACKED = 256 << 20
MAX_RATIO = 200
MAX_PARTS = 10_000


def parse_docx(raw: bytes, bounds: Bounds) -> Document:
    """Sections by heading style; a table's rows become lines, cells parted by bars."""
    _measure(raw)
    try:
        source = docx.Document(io.BytesIO(raw))
    except (OpcError, LxmlError, KeyError, ValueError, AttributeError, zipfile.BadZipFile, zlib.error):
        raise ParseError("invalid_file", "The Word document is damaged and cannot be opened.") from None
    writer = DocumentWriter(bounds.max_chars)
    for part in _parts(source):
        if isinstance(part, Table):
            writer.block("\n".join(_row(part, i) for i in range(len(part.rows))), "table")
        elif (level := _level(part)) is not None:
            writer.heading(level, part.text)
        else:
            writer.block(part.text)
    return writer.document()


def _measure(raw: bytes) -> None:
    """Refuse archives that would unpack to far more than they are."""
    try:
        parts = zipfile.ZipFile(io.BytesIO(raw)).infolist()
    except (zipfile.BadZipFile, ValueError, OSError):
        raise ParseError("invalid_file", "The file is no Word document: it is not a readable ZIP archive.") from None
    unpacked = sum(part.file_size for part in parts)
    if len(parts) > MAX_PARTS or unpacked > MAX_UNPACKED or unpacked > MAX_RATIO * max(len(raw), 1 << 16):
        raise ParseError("unsupported_file", "The Word document unpacks to far more than its size; it is not read.")
    if any(part.flag_bits & 1 for part in parts):
        raise ParseError("unsupported_file", "The Word document is encrypted; upload it without a password.")


def _parts(source: DocxDocument) -> Iterator[Paragraph | Table]:
    yield from source.iter_inner_content()


def _level(paragraph: Paragraph) -> int | None:
    name = (paragraph.style.name if paragraph.style is not None else "") or ""
    if name == "Title":
        return 1
    return int(name[8:]) if name.startswith("Heading ") and name[8:].isdigit() else None


def _row(table: Table, index: int) -> str:
    return " | ".join(dict.fromkeys(cell.text.strip().replace("\n", " ") for cell in table.rows[index].cells))
