"""Markdown by CommonMark's rules with tables: headings become the title path, markup goes, code stays as it is. It refuses to run embedded HTML."""

import re
from collections.abc import Sequence

from markdown_it import MarkdownIt
from markdown_it.token import Token

from slipway_retriever.parse.decode import decode
from slipway_retriever.parse.document import Bounds, Document, DocumentWriter, Kind

_FRONT_MATTER = re.compile(r"\A---[ \t]*\n.{0,20000}?\n---[ \t]*\n", re.DOTALL)
_TAG = re.compile(r"<!--.*?-->|<[^<>]{1,2000}>", re.DOTALL)


def parse_markdown(raw: bytes, bounds: Bounds) -> Document:
    """Sections by heading; lists and tables stay together, line by line."""
    writer = _Blocks(DocumentWriter(bounds.max_chars))
    tokens = MarkdownIt("commonmark", {"maxNesting": 20}).enable("table").parse(_FRONT_MATTER.sub("", decode(raw)))
    for before, token in zip([None, *tokens], tokens, strict=False):
        writer.take(token, before)
    return writer.writer.document()


class _Blocks:
    """Gathers the lines of a list or table until its outermost end."""

    def __init__(self, writer: DocumentWriter) -> None:
        self.writer = writer
        self._lines: list[str] = []
        self._cells: list[str] = []
        self._depth = 0

    def take(self, token: Token, before: Token | None) -> None:
        """The next token, and the one before it."""
        self._depth += token.nesting if token.type in _GROUPS else 0
        if token.type in ("fence", "code_block"):
            self._flush("prose")
            self.writer.block(token.content, "code")
        elif token.type == "html_block":
            self._lines.append(_TAG.sub(" ", token.content).strip())
        elif token.type == "inline":
            self._inline(token, before)
        elif token.type == "tr_close":
            self._lines.append(" | ".join(self._cells))
            self._cells = []
        if self._depth == 0:
            self._flush("table" if token.type == "table_close" else "prose")

    def _inline(self, token: Token, before: Token | None) -> None:
        opened = before.type if before else ""
        if before and opened == "heading_open":
            self._flush("prose")
            self.writer.heading(int(before.tag[1]), _words(token))
        elif opened in ("td_open", "th_open"):
            self._cells.append(_words(token))
        else:
            self._lines.append(_words(token))

    def _flush(self, kind: Kind) -> None:
        if self._lines:
            self.writer.block("\n".join(self._lines), kind)
            self._lines = []


_GROUPS = frozenset({"bullet_list_open", "bullet_list_close", "ordered_list_open", "ordered_list_close", "table_open", "table_close"})


def _words(token: Token) -> str:
    """The text of inline content: what a reader sees, without marks; a picture's description stands for it."""
    return "".join(_piece(child) for child in _children(token)).strip()


def _children(token: Token) -> Sequence[Token]:
    return token.children or ()


def _piece(token: Token) -> str:
    if token.type in ("text", "code_inline", "text_special"):
        return token.content
    if token.type in ("softbreak", "hardbreak"):
        return " "
    return token.content if token.type == "image" else ""
