"""PDF by pypdf: text page by page, with bounds on pages and characters. It reads no pictures: a scan without a text layer is an error that says so."""

import io
import re

from pypdf import PdfReader
from pypdf.errors import PyPdfError

from slipway_retriever.parse.document import Bounds, Document, DocumentWriter, ParseError

_HYPHEN = re.compile(r"(?<=[a-z])-\n(?=[a-z])")
_PARAGRAPH = re.compile(r"\n\s*\n|(?<=[.!?:])\n(?=[A-Z])")
_BROKEN = (
    PyPdfError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    IndexError,
    AssertionError,
    OverflowError,
    ZeroDivisionError,
    RecursionError,
)
"""What pypdf raises on damaged files: its own errors, and those that malformed objects cause in its code."""


def parse_pdf(raw: bytes, bounds: Bounds) -> Document:
    """One section per page, titled `page N`, so that citations can name it."""
    reader = _opened(raw)
    pages = len(reader.pages)
    if pages > bounds.max_pages:
        raise ParseError("unsupported_file", f"The PDF has {pages} pages; at most {bounds.max_pages} are read.")
    writer = DocumentWriter(bounds.max_chars)
    unread = 0
    for number in range(pages):
        try:
            text = reader.pages[number].extract_text()
        except _BROKEN:
            unread += 1
            continue
        writer.heading(1, f"page {number + 1}")
        for paragraph in _PARAGRAPH.split(_HYPHEN.sub("", text)):
            writer.block(paragraph)
    if unread == pages:
        raise ParseError("invalid_file", "The PDF is damaged: none of its pages can be read.")
    try:
        return writer.document()
    except ParseError:
        raise ParseError("unsupported_file", "The PDF holds no text; a scanned document needs text recognition first.") from None


def _opened(raw: bytes) -> PdfReader:
    try:
        reader = PdfReader(io.BytesIO(raw), strict=False)
        if reader.is_encrypted and not reader.decrypt(""):
            raise ParseError("unsupported_file", "The PDF is encrypted; upload it without a password.")
        len(reader.pages)
    except NotImplementedError:
        raise ParseError("unsupported_file", "The PDF is encrypted in a way that is not read; upload it without a password.") from None
    except _BROKEN as error:
        if type(error).__name__ == "DependencyError":
            raise ParseError("unsupported_file", "The PDF is encrypted; upload it without a password.") from None
        raise ParseError("invalid_file", "The PDF is damaged and cannot be opened.") from None
    return reader
