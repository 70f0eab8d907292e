"""HTML by lxml through Beautiful Soup: headings, paragraphs, lists and tables as text. Scripts, styles and navigation are dropped, never run."""

import re

from bs4 import BeautifulSoup
from bs4.element import NavigableString, PageElement, PreformattedString, Tag

from slipway_retriever.parse.decode import decode
from slipway_retriever.parse.document import Bounds, Document, DocumentWriter, ParseError

_DROPPED = ("script", "style", "noscript", "template", "nav", "svg", "iframe", "object", "form", "head")
_HEADINGS = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})
_BLOCKS = frozenset({
    "address", "article", "aside", "blockquote", "body", "br", "center", "dd", "details", "div", "dl", "dt", "fieldset", "figcaption", "figure",
    "footer", "header", "hr", "html", "li", "main", "ol", "p", "pre", "section", "summary", "table", "tbody", "tfoot", "thead", "tr", "ul",
})  # fmt: skip
_CELLS = frozenset({"td", "th"})
_SPACE = re.compile(r"\s+")
_MAX_NODES = 2_000_000


def parse_html(raw: bytes, bounds: Bounds) -> Document:
    """Blocks in reading order. The page's title opens the heading path when the page has no h1."""
    soup = BeautifulSoup(_text(raw), "lxml")
    title = soup.title.get_text() if soup.title else ""
    for tag in soup(_DROPPED):
        if not tag.decomposed:  # a style inside a head went with it
            tag.decompose()
    writer = DocumentWriter(bounds.max_chars)
    if title and soup.find("h1") is None:
        writer.heading(1, title)
    _walk(soup, writer)
    return writer.document()


def _text(raw: bytes) -> str | bytes:
    """Characters where they can be told by us; else the bytes, whose meta tag lxml reads."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw if b"charset" in raw[:4096] and b"\x00" not in raw[:4096] else decode(raw)


def _walk(soup: BeautifulSoup, writer: DocumentWriter) -> None:
    """One pass over the tree without recursion, so that its depth does not matter."""
    words: list[str] = []
    node: PageElement | None = soup.contents[0] if soup.contents else None
    count = 0
    while node is not None:
        if (count := count + 1) > _MAX_NODES:
            raise ParseError("unsupported_file", f"The page has more than {_MAX_NODES} elements.")
        if isinstance(node, Tag):
            node = _tag(node, words, writer)
            continue
        if isinstance(node, NavigableString) and not isinstance(node, PreformattedString):
            words.append(str(node))
        node = node.next_element
    _flush(words, writer)


def _tag(tag: Tag, words: list[str], writer: DocumentWriter) -> PageElement | None:
    """What an opening tag means for the text, and the node to go on with."""
    whole = tag.name in _HEADINGS or tag.name == "pre"
    if whole or tag.name in _BLOCKS:
        _flush(words, writer)
    elif tag.name in _CELLS and words:
        words.append(" | ")
    if tag.name in _HEADINGS:
        writer.heading(int(tag.name[1]), tag.get_text(" "))
    elif tag.name == "pre":
        writer.block(tag.get_text(), "code")
    return _after(tag) if whole else tag.next_element


def _after(tag: Tag) -> PageElement | None:
    """The first node behind `tag` and all that is in it."""
    last: PageElement = tag
    while isinstance(last, Tag) and last.contents:
        last = last.contents[-1]
    return last.next_element


def _flush(words: list[str], writer: DocumentWriter) -> None:
    writer.block(_SPACE.sub(" ", "".join(words)).strip())
    words.clear()
