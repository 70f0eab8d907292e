"""Each format to text and sections, and every damaged or hostile file to a sentence that says what is wrong with it."""

import io
import zipfile
from collections.abc import Callable

import docx
import pytest
from docx.document import Document as WordDocument
from pypdf import PdfReader, PdfWriter
from reportlab.pdfgen.canvas import Canvas
from slipway_retriever.parse.document import Bounds, Document, ParseError
from slipway_retriever.parse.formats import parse

BOUNDS = Bounds(max_chars=1_000_000, max_pages=20)


def pdf(*pages: str) -> bytes:
    out = io.BytesIO()
    canvas = Canvas(out)
    for page in pages:
        for i, line in enumerate(page.split("\n")):
            canvas.drawString(72, 720 - 14 * i, line)
        canvas.showPage()
    canvas.save()
    return out.getvalue()


def encrypted_pdf(password: str, algorithm: str = "RC4-128") -> bytes:
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(pdf("The vault is open."))))
    writer.encrypt(password, owner_password="owner", algorithm=algorithm)
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def word(build: Callable[[WordDocument], None]) -> bytes:
    document = docx.Document()
    build(document)
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


def sections(name: str, raw: bytes) -> list[tuple[str, str, str]]:
    document = parse(name, raw, BOUNDS)
    return [(s.title, s.kind, document.text[s.start : s.end]) for s in document.sections]


def test_plain_text() -> None:
    assert sections("a.txt", b"One.\r\n\r\nTwo\nlines.") == [("", "prose", "One.\n\nTwo\nlines.")]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1252", "cp1251"])
def test_text_in_many_encodings(encoding: str) -> None:
    text = (
        "Обычный русский текст, в котором достаточно слов, чтобы узнать кодировку без ошибки. "
        + "Река начинается в горах, течёт через широкую равнину и впадает в холодное северное море. "
        + "Весной она разливается, и тогда старый деревянный мост стоит по самые перила в воде."
        if encoding == "cp1251"
        else "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich, während die Möwen kreischen."
    )
    assert sections("a.txt", text.encode(encoding))[0][2] == text


def test_markdown_headings_lists_tables_and_code() -> None:
    raw = b"""---
title: ignored
---
Intro *text* with [a link](http://x.y) and `code`.

# Top
## Inner
- one
- two **bold**

| Name | Age |
|------|-----|
| Ann  | 31  |
| Bob  | 17  |

```python
x = 1
```
# Next
![a picture of a heron](h.png)
<!-- a note -->
"""
    assert sections("a.md", raw) == [
        ("", "prose", "Intro text with a link and code."),
        ("Top > Inner", "prose", "one\ntwo bold"),
        ("Top > Inner", "table", "Name | Age\nAnn | 31\nBob | 17"),
        ("Top > Inner", "code", "x = 1"),
        ("Next", "prose", "a picture of a heron"),
    ]


def test_html_without_scripts_styles_and_navigation() -> None:
    raw = b"""<html><head><title>Birds</title><style>p{}</style></head><body><nav>Home</nav>
    <p>First <b>para</b>graph.</p><h2>Herons</h2><p>Stand still.</p><script>evil()</script><!-- note -->
    <ul><li>one<li>two</ul><table><tr><td>a</td><td>b</td></tr></table><pre>x  =  1</pre></body></html>"""
    assert sections("a.html", raw) == [
        ("Birds", "prose", "First paragraph."),
        ("Birds > Herons", "prose", "Stand still.\n\none\n\ntwo\n\na | b"),
        ("Birds > Herons", "code", "x  =  1"),
    ]


def test_html_nested_twenty_thousand_deep_is_read_or_refused() -> None:
    raw = b"<div>" * 20_000 + b"deep" + b"</div>" * 20_000
    try:
        assert "deep" in parse("a.html", raw, BOUNDS).text
    except ParseError as error:
        assert error.code in ("invalid_file", "unsupported_file")


def test_pdf_pages_become_sections() -> None:
    found = sections("a.pdf", pdf("The heron stands still.", "The plover runs."))
    assert found == [("page 1", "prose", "The heron stands still."), ("page 2", "prose", "The plover runs.")]


def test_a_pdf_under_another_name_is_read_as_pdf() -> None:
    assert sections("report.txt", pdf("The heron stands still."))[0][2] == "The heron stands still."


def test_a_pdf_that_opens_without_a_password_is_read() -> None:
    assert "vault" in parse("a.pdf", encrypted_pdf(""), BOUNDS).text


def test_word_headings_and_tables() -> None:
    def build(document: WordDocument) -> None:
        document.add_heading("Birds", 1)
        document.add_heading("Herons", 2)
        document.add_paragraph("They stand still.")
        table = document.add_table(2, 2)
        for i, text in enumerate(("Name", "Height", "Grey heron", "98 cm")):
            table.cell(i // 2, i % 2).text = text

    assert sections("a.docx", word(build)) == [
        ("Birds > Herons", "prose", "They stand still."),
        ("Birds > Herons", "table", "Name | Height\nGrey heron | 98 cm"),
    ]


def test_table_rows_carry_their_column_names() -> None:
    assert sections("a.csv", b"name;age\nAnn;31\nBob;17\n") == [("", "table", "name: Ann; age: 31\n\nname: Bob; age: 17")]


def test_json_lines_and_nested_json() -> None:
    assert sections("a.jsonl", b'{"q": "What?", "n": [1, 2]}\n\n{"q": "Why?"}\n') == [("", "table", "q: What?\nn: 1, 2\n\nq: Why?")]
    nested = b'{"Geography": {"Coastline": {"text": "60 km"}, "Climate": {"text": "<p>dry</p>"}}, "Name": "X"}'
    assert sections("a.json", nested) == [
        ("Geography > Coastline", "table", "60 km"),
        ("Geography > Climate", "table", "dry"),
        ("Name", "table", "X"),
    ]


def test_code_is_cut_at_definitions_with_their_comments() -> None:
    raw = b"import os\n\n\n# Why it adds.\ndef add(a, b):\n    return a + b\n\n\nclass Box:\n    def open(self):\n        pass\n"
    assert sections("a.py", raw) == [
        ("", "code", "import os"),
        ("add", "code", "# Why it adds.\ndef add(a, b):\n    return a + b"),
        ("Box", "code", "class Box:\n    def open(self):\n        pass"),
    ]


def bomb() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("word/document.xml", b"\0" * (20 << 20))
    return out.getvalue()


BAD: dict[str, tuple[str, Callable[[], bytes], str, str]] = {
    "empty": ("a.txt", lambda: b"", "invalid_file", "empty"),
    "blank": ("a.md", lambda: b" \n\t\n", "invalid_file", "empty"),
    "headings only": ("a.md", lambda: b"# One\n## Two\n", "invalid_file", "no text"),
    "program as text": ("a.txt", lambda: b"\x7fELF" + bytes(range(256)) * 9, "unsupported_file", "a program"),
    "picture as text": ("a.md", lambda: b"\x89PNG\r\n\x1a\n" + bytes(500), "unsupported_file", "PNG"),
    "zeros as text": ("a.txt", lambda: b"abc\x00\x01\x02" * 100, "unsupported_file", "binary"),
    "controls as text": ("a.txt", lambda: bytes(range(1, 32)) * 99, "unsupported_file", "binary"),
    "unknown encoding": ("a.txt", lambda: bytes((i * 89 + i // 7) % 128 + 128 for i in range(4000)), "", ""),
    "broken pdf": ("a.pdf", lambda: b"%PDF-1.7\n%nonsense", "invalid_file", "damaged"),
    "cut pdf": ("a.pdf", lambda: pdf("x" * 50, "y" * 50)[:300], "invalid_file", "damaged"),
    "no pdf": ("a.pdf", lambda: b"just text", "invalid_file", "damaged"),
    "locked pdf": ("a.pdf", lambda: encrypted_pdf("secret"), "unsupported_file", "encrypted"),
    "empty pdf": ("a.pdf", lambda: pdf(""), "unsupported_file", "no text"),
    "long pdf": ("a.pdf", lambda: pdf(*["page"] * 21), "unsupported_file", "21 pages"),
    "no word": ("a.docx", lambda: b"PK\x03\x04 nothing", "invalid_file", "ZIP"),
    "other zip": ("a.docx", lambda: _zip("a.txt", b"x"), "invalid_file", "damaged"),
    "zip bomb": ("a.docx", bomb, "unsupported_file", "unpacks"),
    "slides": ("a.pptx", lambda: _zip("a.txt", b"x"), "unsupported_file", ".pptx"),
    "bad json line": ("a.jsonl", lambda: b'{"a": 1}\n{"a": \n', "invalid_file", "Line 2"),
    "deep json": ("a.json", lambda: b"[" * 100_000 + b"]" * 100_000, "unsupported_file", "nested"),
    "heading row only": ("a.csv", lambda: b"a,b,c\n", "invalid_file", "no rows"),
    "too much text": ("a.txt", lambda: b"word " * 300_000, "unsupported_file", "more than 1000000"),
}


def _zip(name: str, content: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(name, content)
    return out.getvalue()


@pytest.mark.parametrize("case", [name for name, row in BAD.items() if row[2]])
def test_a_bad_file_gets_a_sentence_that_says_what_is_wrong(case: str) -> None:
    name, make, code, said = BAD[case]
    with pytest.raises(ParseError) as caught:
        parse(name, make(), BOUNDS)
    assert caught.value.code == code
    assert said in caught.value.message


def test_a_line_of_a_million_tokens_is_read() -> None:
    text = "token " * 166_000
    document: Document = parse("a.txt", text.encode(), BOUNDS)
    assert len(document.text) == len(text)
