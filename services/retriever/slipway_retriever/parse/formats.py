"""Which parser reads a file: by the end of its name, held against its first bytes. It refuses to know how any of them works."""

from collections.abc import Callable
from pathlib import PurePosixPath

from slipway_retriever.parse.decode import looks_like
from slipway_retriever.parse.document import Bounds, Document, ParseError

Parser = Callable[[bytes, Bounds], Document]

MARKDOWN = frozenset({".md", ".markdown", ".mdown", ".mkd", ".mdx"})
HTML = frozenset({".html", ".htm", ".xhtml"})
TABLES = frozenset({".csv", ".tsv"})
RECORDS = frozenset({".jsonl", ".ndjson", ".json"})
CODE = frozenset({
    ".py", ".pyi", ".js", ".mjs", ".cjs", ".ts", ".tsx", ".jsx", ".java", ".kt", ".go", ".rs", ".c", ".h", ".cc", ".cpp", ".hpp", ".cs", ".rb",
    ".php", ".swift", ".scala", ".sh", ".bash", ".zsh", ".ps1", ".sql", ".lua", ".r", ".pl", ".toml", ".yaml", ".yml", ".ini", ".cfg", ".conf",
    ".xml", ".css", ".scss", ".proto", ".tf", ".dockerfile", ".mk", ".cmake", ".gradle", ".vue", ".svelte", ".ex", ".exs", ".hs", ".ml", ".clj",
    ".dart", ".jl", ".zig", ".nix", ".el", ".vim",
})  # fmt: skip
CODE_NAMES = frozenset({"dockerfile", "makefile", "jenkinsfile", "cmakelists.txt"})
UNREAD = frozenset({
    ".doc", ".ppt", ".pptx", ".xls", ".xlsx", ".odt", ".epub", ".rtf", ".zip", ".tar", ".gz", ".png", ".jpg", ".jpeg", ".gif", ".mp3", ".mp4",
})  # fmt: skip


def parse(filename: str, raw: bytes, bounds: Bounds) -> Document:
    """The text and sections of a file; raises ParseError with a sentence for its owner."""
    if not raw.strip():
        raise ParseError("invalid_file", "The file is empty.")
    return _parser(PurePosixPath(filename.lower()), raw)(raw, bounds)


def _parser(name: PurePosixPath, raw: bytes) -> Parser:
    if name.suffix == ".pdf" or b"%PDF-" in raw[:1024]:
        from slipway_retriever.parse.pdf import parse_pdf

        return parse_pdf
    if name.suffix == ".docx":
        from slipway_retriever.parse.docx import parse_docx

        return parse_docx
    if name.suffix in UNREAD:
        kind = looks_like(raw) or "a kind of file"
        raise ParseError("unsupported_file", f"Files that end in {name.suffix} are not read (the content is {kind}).")
    return _text_parser(name)


def _text_parser(name: PurePosixPath) -> Parser:
    if name.suffix in MARKDOWN:
        from slipway_retriever.parse.markdown import parse_markdown

        return parse_markdown
    if name.suffix in HTML:
        from slipway_retriever.parse.html import parse_html

        return parse_html
    if name.suffix in TABLES or name.suffix in RECORDS:
        from slipway_retriever.parse import records

        return records.parse_table if name.suffix in TABLES else records.parse_records
    from slipway_retriever.parse import plain

    return plain.parse_code if name.suffix in CODE or name.name in CODE_NAMES else plain.parse_text
