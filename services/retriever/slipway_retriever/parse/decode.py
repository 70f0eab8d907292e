"""Bytes to characters: byte order marks, UTF-8, else a measured guess; and whether they are text at all. It refuses to know formats."""

import codecs
import unicodedata

from slipway_retriever.parse.document import ParseError

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"), (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip
_MAGIC = {
    b"%PDF-": "a PDF", b"PK\x03\x04": "a ZIP archive", b"\x7fELF": "a program", b"MZ": "a program", b"\x89PNG": "a PNG image", b"\xff\xd8\xff": "a JPEG image",
    b"GIF8": "a GIF image", b"\x1f\x8b": "a gzip archive", b"BZh": "a bzip2 archive", b"\xfd7zXZ": "an xz archive", b"7z\xbc\xaf": "a 7z archive",
    b"SQLite format 3": "a database", b"\xd0\xcf\x11\xe0": "an old Office file", b"OggS": "a sound", b"ID3": "a sound", b"RIFF": "a sound or film",
    b"\x00\x00\x01\x00": "an icon", b"wOF": "a font", b"\xca\xfe\xba\xbe": "a program", b"GGUF": "model weights", b"\x28\xb5\x2f\xfd": "a zstd archive",
}  # fmt: skip
_SAMPLE = 1 << 16
_MAX_CONTROLS = 0.02


def looks_like(raw: bytes) -> str | None:
    """What a file's first bytes say it is, when they say that it is no text."""
    return next(
        (name for magic, name in _MAGIC.items() if raw.startswith(magic) and not (magic == b"MZ" and b"\x00" not in raw[:512])), None
    )


def decode(raw: bytes) -> str:
    """The text of `raw`, line ends as \\n; raises ParseError when it is binary, or in no encoding that can be told."""
    if (kind := looks_like(raw)) is not None:
        raise ParseError("unsupported_file", f"The content is {kind}, not text.")
    encoding = next((name for mark, name in _MARKS if raw.startswith(mark)), None)
    if encoding is None and b"\x00" in raw[:_SAMPLE]:
        raise ParseError("unsupported_file", "The content is binary, not text.")
    text = _as(raw, encoding) if encoding else _as(raw, "utf-8") or _guessed(raw)
    if text is None:
        raise ParseError("invalid_file", "The text's encoding cannot be told; save the file as UTF-8.")
    sample = text[:_SAMPLE]
    controls = sum(unicodedata.category(c) == "Cc" and c not in "\t\n\r\f\v\x1b" for c in sample)
    if controls > _MAX_CONTROLS * len(sample):
        raise ParseError("unsupported_file", "The content is binary, not text.")
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\x00", "")


def _as(raw: bytes, encoding: str) -> str | None:
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError:
        return None


def _guessed(raw: bytes) -> str | None:
    from charset_normalizer import from_bytes

    best = from_bytes(raw[:_SAMPLE]).best()
    # More than a fifth of disorder is what charset-normalizer itself calls unreadable.
    if best is None or best.percent_chaos > 20:
        return None
    return raw.decode(best.encoding, errors="replace")
