"""What every parser gives: the extracted text and its sections. It refuses to know formats."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["prose", "code", "table"]
MAX_TITLE = 300
_SPACE = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a parser may produce and read."""

    max_chars: int
    max_pages: int


class ParseError(Exception):
    """The file cannot be read. `code` is one of OpenAI's: unsupported_file (we do not read such files), invalid_file (it is damaged or empty)."""

    def __init__(self, code: Literal["unsupported_file", "invalid_file"], message: str) -> None:
        super().__init__(message)
        self.code: Literal["unsupported_file", "invalid_file", "server_error"] = code
        self.message = message


@dataclass(frozen=True, slots=True)
class Section:
    """A stretch of the text under one heading; passages never cross its ends."""

    title: str
    start: int
    end: int
    kind: Kind = "prose"


@dataclass(frozen=True, slots=True)
class Document:
    """`sections` are in order and do not overlap."""

    text: str
    sections: tuple[Section, ...]


class DocumentWriter:
    """Puts blocks one after the other, an empty line between them; blocks under the same heading and of the same kind join one section."""

    def __init__(self, max_chars: int) -> None:
        self._parts: list[str] = []
        self._sections: list[Section] = []
        self._length = 0
        self._max_chars = max_chars
        self._headings: list[tuple[int, str]] = []

    def heading(self, level: int, text: str) -> None:
        """Begin a section: headings of the same or a deeper level end."""
        title = _SPACE.sub(" ", text).strip()
        self._headings = [(depth, known) for depth, known in self._headings if depth < level]
        if title:
            self._headings.append((level, title))
        self._sections.append(Section(self._title(), self._length, self._length))

    def block(self, text: str, kind: Kind = "prose") -> None:
        """Add one paragraph, list, table row group or code block."""
        text = text.strip("\n")
        if not text.strip():
            return
        start = self._length + (2 if self._parts else 0)
        if start + len(text) > self._max_chars:
            raise ParseError("unsupported_file", f"The file holds more than {self._max_chars} characters of text.")
        self._parts.append(text)
        self._length = end = start + len(text)
        last = self._sections[-1] if self._sections else None
        if last is not None and last.title == self._title() and (last.kind == kind or last.start == last.end):
            self._sections[-1] = Section(last.title, start if last.start == last.end else last.start, end, kind)
        else:
            self._sections.append(Section(self._title(), start, end, kind))

    def document(self) -> Document:
        """What was written; raises ParseError when there is no text in it."""
        sections = tuple(section for section in self._sections if section.end > section.start)
        if not sections:
            raise ParseError("invalid_file", "The file holds no text.")
        return Document("\n\n".join(self._parts), sections)

    def _title(self) -> str:
        return _shortened([text for _, text in self._headings])


def _shortened(path: Sequence[str]) -> str:
    """The heading path; a long one keeps its innermost headings."""
    title = " > ".join(path)
    return title if len(title) <= MAX_TITLE else "..." + title[-MAX_TITLE + 3 :]
