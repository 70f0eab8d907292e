"""Plain text and source code. It knows paragraphs and top-level definitions; it refuses to know any language's grammar."""

import re

from slipway_retriever.parse.decode import decode
from slipway_retriever.parse.document import Bounds, Document, DocumentWriter

_BLANK = re.compile(r"\n[ \t\f\v]*(?:\n[ \t\f\v]*)+")
# A line at the left margin that begins a named thing, in most languages that people write.
_DEFINITION = re.compile(
    r"^(?:export |default |public |private |protected |static |async |pub(?:\(\w+\))? |final |abstract )*"
    r"(?:def|class|function|func|fn|interface|struct|enum|trait|impl|module|type|object|const|let|var|CREATE \w+) +([A-Za-z_]\w{0,60}(?:(?:\.|::)\w{1,60}){0,3})"
)


def parse_text(raw: bytes, bounds: Bounds) -> Document:
    """Paragraphs as they stand."""
    writer = DocumentWriter(bounds.max_chars)
    for paragraph in _BLANK.split(decode(raw)):
        writer.block(paragraph)
    return writer.document()


def parse_code(raw: bytes, bounds: Bounds) -> Document:
    """One section per top-level definition, named after it; what stands before the first has no name."""
    writer = DocumentWriter(bounds.max_chars)
    lines: list[str] = []
    for line in decode(raw).split("\n"):
        match = _DEFINITION.match(line[:200])
        if match and any(known.strip() for known in lines):
            carried = _comment_above(lines)
            writer.block("\n".join(lines[: len(lines) - carried]), "code")
            writer.heading(1, match.group(1))
            lines = lines[len(lines) - carried :]
        elif match:
            writer.heading(1, match.group(1))
        lines.append(line)
    writer.block("\n".join(lines), "code")
    return writer.document()


def _comment_above(lines: list[str]) -> int:
    """How many lines at the end belong to the definition that follows: comments and decorators that touch it."""
    count = 0
    while count < len(lines) and lines[-1 - count].lstrip().startswith(("#", "//", "/*", "*", "@", "--", '"""')):
        count += 1
    return count
