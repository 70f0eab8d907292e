"""Finds a prompt that got out: a canary token planted in it, in any disguise, or long runs of its own words.

A canary is "slw-" and twenty characters, of which the last eight are a checksum of the rest, so any replica knows one without having made it.
It refuses to know who plants canaries and which prompt a token belongs to.
"""

import base64
import hashlib
import re
import secrets
from collections.abc import Sequence

from slipway_safety_filter import views
from slipway_safety_filter.spans import Span

PREFIX = "slw"
_BODY, _CHECK = 12, 8
_LENGTH = len(PREFIX) + _BODY + _CHECK
_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
_RUN = re.compile(r"[A-Za-z0-9+/_\-]{16,}")
_HEX = re.compile(r"[0-9A-Fa-f]{24,}")
_WORD = re.compile(r"\w+")
OVERLAP_WORDS = 16
"""That many words of a protected text, in order and side by side, score 1; the default threshold asks for three quarters of them."""


def mint() -> str:
    """A new canary token. Plant it anywhere in a system prompt."""
    body = "".join(secrets.choice(_ALPHABET) for _ in range(_BODY))
    return f"{PREFIX}-{body}{_checksum(body)}"


def find(text: str, protected: Sequence[str] = ()) -> list[Span]:
    """Canaries in `text` (as it is, spaced out, with look-alikes, reversed, in base64, hexadecimal or ROT13), and overlaps with `protected`."""
    spans = _canaries(text)
    if not spans:
        spans = [Span("prompt_leak", "canary_encoded", 0, len(text), 1.0)] if any(_canaries(said) for said in _readings(text)) else []
    return spans + [span for source in protected if (span := _overlap(text, source)) is not None]


def _canaries(text: str) -> list[Span]:
    view = views.folded(text)
    plain = view.text if view else text
    places = [i for i, char in enumerate(plain) if char.isascii() and char.isalnum()]
    squeezed = "".join(plain[i] for i in places).lower()
    spans: list[Span] = []
    at = squeezed.find(PREFIX)
    while at >= 0:
        token = squeezed[at + len(PREFIX) : at + _LENGTH]
        if len(token) == _BODY + _CHECK and token[_BODY:] == _checksum(token[:_BODY]):
            first, last = places[at], places[at + _LENGTH - 1]
            spans.append(Span("prompt_leak", "canary", view.starts[first] if view else first, view.ends[last] if view else last + 1, 1.0))
        at = squeezed.find(PREFIX, at + 1)
    return spans


def _readings(text: str) -> list[str]:
    said = [text[::-1], text.translate(_ROT13), *views.decoded(text)]
    for match in list(_RUN.finditer(text))[:16]:
        # A window may begin inside an encoded run, so every alignment is read.
        for shift in range(4):
            bare = match.group(0)[shift:].replace("-", "+").replace("_", "/")
            said.append(base64.b64decode(bare[: len(bare) & ~3]).decode("latin-1"))
    for match in list(_HEX.finditer(text))[:16]:
        for shift in range(2):
            bare = match.group(0)[shift:]
            said.append(bytes.fromhex(bare[: len(bare) & ~1]).decode("latin-1"))
    return said


_ROT13 = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", "NOPQRSTUVWXYZABCDEFGHIJKLMnopqrstuvwxyzabcdefghijklm")


def _checksum(body: str) -> str:
    digest = hashlib.sha256(f"slipway canary {body}".encode()).digest()
    return "".join(_ALPHABET[byte % 32] for byte in digest[:_CHECK])


def _overlap(text: str, source: str) -> Span | None:
    """The longest run of words that `text` shares with `source`; None below four words. Quadratic only in the window's own words."""
    words = [(m.group(0).lower(), m.start(), m.end()) for m in _WORD.finditer(text)]
    places: dict[str, list[int]] = {}
    original = [m.group(0).lower() for m in _WORD.finditer(source)]
    for place, word in enumerate(original):
        places.setdefault(word, []).append(place)
    best, best_end = 0, 0
    running: dict[int, int] = {}
    for index, (word, _, _) in enumerate(words):
        following = {place: running.get(place - 1, 0) + 1 for place in places.get(word, ())[:256]}
        longest = max(following.values(), default=0)
        if longest > best:
            best, best_end = longest, index
        running = following
    if best < 4:
        return None
    return Span("prompt_leak", "verbatim", words[best_end - best + 1][1], words[best_end][2], min(1.0, best / OVERLAP_WORDS))
