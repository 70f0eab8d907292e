"""The ways in which one text can be read: as it came, with look-alikes folded, with leetspeak undone, with spaced letters joined, and decoded.

It knows Unicode tricks and encodings and where each character came from. It refuses to know what anybody looks for in the result.
Every step is linear in the text; decoding has a bound on count, size and depth.
"""

import base64
import binascii
import codecs
import re
import unicodedata
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from slipway_safety_filter.pattern import linear

MAX_DECODED = 16
MAX_DECODED_CHARS = 8192

# Look-alikes of ASCII letters in Cyrillic, Greek, Armenian and Latin blocks that compatibility folding leaves alone (Unicode TR 39 names the idea).
_FROM = "абвгезикмнорстухцьіїјѕԁԛԝһӏАВЕЗІЈКМНОРСТУХЅԌԚԜҮαβγεζηικνορτυχωΑΒΕΖΗΙΚΜΝΟΡΤΥΧաօսհոցɑɡɩıℓ∣ǀøłđŧðþ"
_TO = "a6bre3ukmhopctyxubiijsdqwhlABE3IJKMHOPCTYXSGQWYaByeznikvoptuxwABEZHIKMNOPTYXwouhngagiil||oldtdp"
_CONFUSABLE = {ord(a): b for a, b in zip(_FROM, _TO, strict=False)}
_DASHES = dict.fromkeys(map(ord, "‐‑‒–—―−﹘﹣－"), "-")
_QUOTES = {ord("’"): "'", ord("‘"): "'", ord("“"): '"', ord("”"): '"', ord("´"): "'", ord("`"): "'"}
_FOLD = {**_CONFUSABLE, **_DASHES, **_QUOTES}
# Format characters that are not Unicode category Cf or Mn but show nothing.
# Separators that callers put between the texts that they join stay what they are, so that nothing matches across them.
_KEPT = frozenset("\n\r\t\x1c\x1d\x1e\x1f")
_BLANK = frozenset("\u115f\u1160\u3164\uffa0\u2800")

_ODD = re.compile(r"[^ -~\n\r\t\x1c-\x1f]")
LEET_SHARE = 0.15
"""Of the words: below it the signs are versions, sizes and names."""
_MEANT = linear(r"[A-Za-z][0134578@$!|+]+[A-Za-z]|\b[0134578@$|+]+[A-Za-z]{2,}")
_MEASURE = linear(r"(?i)\b\d+(?:st|nd|rd|th|ms|[kmgt]i?b|px|am|pm|hz|k?bps|min|sec|days?)\b")
_ADDRESS = linear(r"\S+@\S+\.\S+")

_LEET = str.maketrans("0134578@$!|+", "oleastbasilt")
_LEET_WORD = linear(r"[A-Za-z0-9@$!|+]*(?:[A-Za-z][0134578@$!|+]|[0134578@$!|+][A-Za-z])[A-Za-z0-9@$!|+]*")
_SPACED = linear(r"(?:\b[A-Za-z0-9@$!][ .\-_*|/]{1,3}){5,}[A-Za-z0-9@$!]\b")
_BASE64 = linear(r"[A-Za-z0-9+/_\-]{16,}={0,2}")
_HEX = linear(r"(?:[0-9A-Fa-f]{2}[ :]?){10,}")
_PERCENT = linear(r"(?:%[0-9A-Fa-f]{2}|[A-Za-z0-9._\-+]){12,}")
_BINARY = linear(r"(?:[01]{8} ?){6,}")
_ENGLISH = frozenset({
    "the", "and", "you", "your", "all", "instructions", "ignore", "previous", "to", "of", "in", "is", "are", "with", "prompt", "system", "rules",
    "now", "that", "this", "as", "do", "not", "what", "tell",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class View:
    """`text` as read one way. Character i of it was made from `source[starts[i]:ends[i]]`."""

    text: str
    starts: list[int]
    ends: list[int]


@lru_cache(maxsize=4096)
def _folded(char: str) -> str:
    """What `char` looks like in plain ASCII where there is such a thing; "" for what shows nothing."""
    if char in _BLANK:
        return ""
    if (mapped := _FOLD.get(ord(char))) is not None:
        return mapped
    category = unicodedata.category(char)
    if category in ("Cf", "Mn", "Me", "Cs", "Co", "Cn") or (category == "Cc" and char not in _KEPT):
        # Tag characters (U+E0020..U+E007E) spell ASCII invisibly: read them as what they spell.
        return chr(ord(char) - 0xE0000) if 0xE0020 <= ord(char) <= 0xE007E else ""
    if category.startswith("Z"):
        return " "
    if category == "Nd":
        return str(unicodedata.digit(char))
    folded = unicodedata.normalize("NFKD", char)
    if folded == char:
        return char
    kept = "".join(c for c in folded if unicodedata.category(c) not in ("Mn", "Me", "Cf"))
    return "".join(_FOLD.get(ord(c), c) for c in kept)


def folded(text: str) -> View | None:
    """`text` without invisible characters and with look-alikes as ASCII; None when that changes nothing."""
    odd = _ODD.search(text)
    if odd is None:
        return None
    out: list[str] = []
    starts: list[int] = []
    at, changed = 0, False
    for match in _ODD.finditer(text, odd.start()):
        place = match.start()
        plain = _folded(text[place])
        changed = changed or plain != text[place]
        out += (text[at:place], plain)
        starts += range(at, place)
        starts += [place] * len(plain)
        at = place + 1
    if not changed:
        return None
    out.append(text[at:])
    starts += range(at, len(text))
    return View("".join(out), starts, [start + 1 for start in starts])


def leetspeak(text: str) -> str | None:
    """`text` with its leetspeak undone, where enough words are written so that somebody means it; an address, "sha256" or "2nd" is none."""
    if _MEANT.search(text) is None:
        return None
    spoken = _MEASURE.sub(" ", _ADDRESS.sub(" ", text))
    found = sum(1 for _ in _MEANT.finditer(spoken))
    return unleeted(spoken) if found >= max(2, LEET_SHARE * len(spoken.split())) else None


def unleeted(text: str) -> str | None:
    """`text` with digits and signs inside words read as the letters that they look like; None when no word is written so."""
    if _LEET_WORD.search(text) is None:
        return None
    return _LEET_WORD.sub(_translated, text)


def _translated(match: Any) -> str:
    return match.group(0).translate(_LEET)


def _joined(match: Any) -> str:
    return _join(match.group(0))


def unspaced(text: str) -> str | None:
    """Runs of single characters set apart ("i g n o r e") joined; None when there is no such run. Wider gaps stay gaps between words."""
    if _SPACED.search(text) is None:
        return None
    return _SPACED.sub(_joined, text)


def _join(run: str) -> str:
    for gap in ("   ", "  ", " / ", " | "):
        if gap in run:
            return " ".join(_letters(part) for part in run.split(gap))
    return _letters(run)


def _letters(run: str) -> str:
    return "".join(c for c in run if c.isalnum() or c in "@$!")


def decoded(text: str, depth: int = 2) -> list[str]:
    """What base64, hexadecimal, percent, binary and ROT13 parts of `text` say, where they say readable text; at most MAX_DECODED of them."""
    out: list[str] = []
    for pattern, decode in _decoders(text):
        for match in pattern.finditer(text):
            if len(out) >= MAX_DECODED:
                return out
            said = decode(match.group(0)[:MAX_DECODED_CHARS])
            if said is None or said in text:
                continue
            out.append(said)
            if depth > 1:
                out.extend(decoded(said, depth - 1)[: MAX_DECODED - len(out)])
    head = text[:MAX_DECODED_CHARS]
    plain = _english(head)
    return out + [turned for turned in (codecs.encode(head, "rot13"), head[::-1]) if _english(turned) > max(2, plain)]


def _decoders(text: str) -> list[tuple[Any, Callable[[str], str | None]]]:
    """The encodings that can occur in `text` at all: most texts hold none, and need no search."""
    longest = max(map(len, text.split()), default=0)
    found: list[tuple[Any, Callable[[str], str | None]]] = []
    if longest >= 16:
        found.append((_BASE64, _from_base64))
    if longest >= 20 or _HEX.search(text) is not None:
        found.append((_HEX, _from_hex))
    if text.count("%") >= 3:
        found.append((_PERCENT, _from_percent))
    if text.count("01") >= 4:
        found.append((_BINARY, _from_binary))
    return found


def _readable(raw: bytes) -> str | None:
    try:
        said = raw.decode()
    except UnicodeDecodeError:
        return None
    shown = sum(c.isprintable() or c in "\n\t" for c in said)
    letters = sum(c.isalpha() or c == " " for c in said)
    return said if len(said) >= 8 and shown == len(said) and letters >= 0.7 * len(said) else None


def _from_base64(run: str) -> str | None:
    if run.isalpha() and (run.islower() or run.isupper()):
        return None
    bare = run.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return _readable(base64.b64decode(bare[: len(bare) - (len(bare) % 4 == 1)] + "=" * (-len(bare) % 4), validate=True))
    except (binascii.Error, ValueError):
        return None


def _from_hex(run: str) -> str | None:
    bare = run.replace(" ", "").replace(":", "")
    return _readable(bytes.fromhex(bare[: len(bare) & ~1]))


def _from_percent(run: str) -> str | None:
    return _readable(urllib.parse.unquote_to_bytes(run.replace("+", " "))) if run.count("%") >= 3 else None


def _from_binary(run: str) -> str | None:
    bits = run.replace(" ", "")
    return _readable(bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits) - 7, 8)))


def _english(text: str) -> int:
    return len(_ENGLISH.intersection(text.lower().replace(".", " ").replace(",", " ").split()))
