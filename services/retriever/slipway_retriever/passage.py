"""A piece of a document, before it has an id. It refuses to know where it is kept."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Piece:
    """`start` and `end` are character offsets into the extracted text; `title` is the path of headings above it."""

    title: str
    text: str
    start: int
    end: int

    @property
    def indexed(self) -> str:
        """What is embedded and counted: the headings say what a paragraph is about."""
        return f"{self.title}\n{self.text}" if self.title else self.text
