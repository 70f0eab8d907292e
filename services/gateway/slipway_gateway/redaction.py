"""Spans that the safety policy hides: in a text, in a tool call's arguments, and what becomes of the citations that point into the text.

Pure functions. Offsets are characters. It refuses to know policies and frames.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from slipway_shared.contracts import CheckResponse

_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|([^u]))", re.DOTALL)
_SIMPLE = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}


class Unwritable(Exception):
    """A span cannot be hidden without breaking what surrounds it."""


@dataclass(frozen=True, slots=True)
class Hidden:
    """A span of a text, and what is shown in its place."""

    start: int
    end: int
    placeholder: str


def spans_of(verdict: CheckResponse, start: int = 0) -> list[Hidden]:
    """What `verdict` hides, in characters of a text of which `start` characters stand before the checked piece."""
    if verdict.verdict != "redact":
        return []
    return [Hidden(f.start + start, f.end + start, f.placeholder or "[REDACTED]") for f in verdict.findings if f.action == "redact"]


def redacted(text: str, spans: Sequence[Hidden], start: int = 0, end: int | None = None) -> str:
    """`text` from `start` to `end` with `spans` replaced."""
    pieces: list[str] = []
    at = start
    for span in sorted(spans, key=lambda span: span.start):
        pieces += [text[at : span.start], span.placeholder]
        at = max(at, span.end)
    return "".join([*pieces, text[at:end]])


def moved(annotations: list[dict[str, Any]], spans: Sequence[Hidden]) -> list[dict[str, Any]]:
    """The annotations of a text for the same text with `spans` hidden: every `index` points to its mark again; a mark that was hidden has none."""
    if not spans:
        return annotations
    out: list[dict[str, Any]] = []
    for note in annotations:
        index = note.get("index")
        if not isinstance(index, int):
            out.append(note)
        elif not any(span.start <= index < span.end for span in spans):
            shift = sum(len(span.placeholder) - (span.end - span.start) for span in spans if span.end <= index)
            out.append({**note, "index": index + shift})
    return out


def spoken(arguments: str) -> tuple[str, list[int]]:
    """A piece of JSON as it is meant, escapes resolved, so that a pattern is found however it is written; and for every character (and the end)
    where it stands in `arguments`."""
    characters: list[str] = []
    offsets: list[int] = []
    at = 0
    while at < len(arguments):
        match = _ESCAPE.match(arguments, at) if arguments[at] == "\\" else None
        if match is None:
            meant, after = arguments[at], at + 1
        else:
            code, plain = match.groups()
            meant, after = (chr(int(code, 16)) if code else _SIMPLE.get(plain, plain)), match.end()
        characters.append(meant)
        offsets.append(at)
        at = after
    return "".join(characters).encode("utf-8", "replace").decode(), [*offsets, len(arguments)]


def as_json(arguments: str, spans: Sequence[Hidden]) -> list[Hidden]:
    """`spans` with placeholders that keep `arguments` JSON: as they are inside a string, as a string of their own outside of one.
    Raises Unwritable for a span that begins or ends a string."""
    return [_as_json(arguments, span) for span in spans]


def _as_json(arguments: str, span: Hidden) -> Hidden:
    quoted = orjson.dumps(span.placeholder).decode()
    if _quotes(arguments[span.start : span.end]):
        raise Unwritable
    inside = _quotes(arguments[: span.start]) % 2 == 1
    return Hidden(span.start, span.end, quoted[1:-1] if inside else quoted)


def _quotes(text: str) -> int:
    """Quotes that are not escaped; a text that begins within an escape is not asked for."""
    return _ESCAPE.sub("", text).count('"')
