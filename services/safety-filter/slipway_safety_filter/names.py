"""People's names by model: a small convolution over what is known of each word tells names from other words.

It knows the file that the recipe writes, its arithmetic and the best path of tags (Viterbi 1967; "begin, inside, outside" of Ramshaw and Marcus 1995).
It refuses to know policies, and titles and phrases that introduce a name: pii.py has patterns for those. It is loaded where the settings say so.
"""

import hashlib
import re
import struct
import threading
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from slipway_safety_filter.minilm import HIDDEN
from slipway_safety_filter.name_words import BUCKETS, SHAPES, WordReader, Words, spots
from slipway_safety_filter.spans import MAX_MATCH_CHARS, Span

CATEGORY, RULE = "pii.name", "name_model"
SHIPPED = Path(__file__).with_name("names.safetensors")
MAX_BYTES = 1 << 20
BLOCK_CHARS = 1 << 15
"""A longer text is read in blocks of so many characters, which bounds memory; each sees MAX_MATCH_CHARS around it. Time grows with the text: some
40 µs of CPU a word."""
SHARED = 0.8
"""Who is named once is named elsewhere: a capitalised word takes this share of the surest occurrence's odds over its own."""
OUTSIDE, BEGIN, INSIDE = range(3)
_LETTERS = re.compile(r"[^\W\d_]{2}")

Vectors = NDArray[np.float32]


class NamesError(Exception):
    """The file of the reader cannot be used; the message says why."""


@dataclass(frozen=True)
class Weights:
    """`pieces` [BUCKETS, e]; `first` [3, HIDDEN + SHAPES + e, width] and `second` [3, width, inner] reach one word to either side; `out` [inner, 3]."""

    pieces: Vectors
    first: Vectors
    first_bias: Vectors
    second: Vectors
    second_bias: Vectors
    out: Vectors
    out_bias: Vectors

    def logits(self, words: Words) -> Vectors:
        """[n, 3]: outside, begin, inside."""
        spelled = self.pieces[words.pieces].sum(axis=1)
        x = np.concatenate([words.states, words.shapes, spelled], axis=1)
        x = np.maximum(_convolved(x, self.first) + self.first_bias, 0)
        x = np.maximum(_convolved(x, self.second) + self.second_bias, 0)
        return x @ self.out + self.out_bias


class Names:
    """The reader of names. Safe to call from several threads; they take turns."""

    def __init__(self, weights: Weights, cache: Path) -> None:
        self._weights = weights
        self._reader = WordReader(cache)
        self._turn = threading.Lock()

    def find(self, text: str) -> list[Span]:
        """The names in `text`, in order; a span's score is the mean probability (geometric) that its words are part of a name."""
        out: list[Span] = []
        for start in range(0, max(1, len(text)), BLOCK_CHARS):
            before = max(0, start - MAX_MATCH_CHARS)
            found = self._read(text[before : start + BLOCK_CHARS + MAX_MATCH_CHARS])
            moved = [Span(s.category, s.rule, s.start + before, s.end + before, s.score) for s in found]
            # A name over the border is the earlier block's.
            free = max(start, out[-1].end if out else 0)
            out += [s for s in moved if free <= s.start < start + BLOCK_CHARS]
        return out

    def _read(self, text: str) -> list[Span]:
        places = spots(text)
        if not places:
            return []
        with self._turn:
            words = self._reader.read(text, places)
        logits = _agreed(text, places, self._weights.logits(words))
        chances = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
        named = np.logaddexp(chances[:, BEGIN], chances[:, INSIDE])
        spans = [
            Span(CATEGORY, RULE, places[a][0], places[b - 1][1], round(float(np.exp(named[a:b].mean())), 4))
            for a, b in _runs(_path(chances))
        ]
        return [s for s in spans if s.end - s.start <= MAX_MATCH_CHARS and _LETTERS.search(text, s.start, s.end) is not None]


def _convolved(x: Vectors, kernel: Vectors) -> Vectors:
    """Each row with its neighbours; outside of the text stand zeros."""
    out = x @ kernel[1]
    out[1:] += x[:-1] @ kernel[0]
    out[:-1] += x[1:] @ kernel[2]
    return out


def _agreed(text: str, places: Sequence[tuple[int, int]], logits: Vectors) -> Vectors:
    """The logits, in which the occurrences of one capitalised word know of each other."""
    same: dict[str, list[int]] = defaultdict(list)
    for i, (a, b) in enumerate(places):
        if b - a > 2 and text[a].isupper():
            same[text[a:b]].append(i)
    odds = np.logaddexp(logits[:, BEGIN], logits[:, INSIDE]) - logits[:, OUTSIDE]
    for which in (np.asarray(found) for found in same.values() if len(found) > 1):
        logits[which, OUTSIDE] -= SHARED * (odds[which].max() - odds[which])
    return logits


def _path(chances: Vectors) -> list[int]:
    """The likeliest tags in which no name begins inside."""
    allowed = np.zeros((3, 3), dtype=np.float32)
    allowed[OUTSIDE, INSIDE] = -np.inf
    best, back = chances[0].copy(), np.zeros((len(chances), 3), dtype=np.int64)
    best[INSIDE] = -np.inf
    for i in range(1, len(chances)):
        ways = best[:, None] + allowed
        back[i] = ways.argmax(axis=0)
        best = ways.max(axis=0) + chances[i]
    tags = [int(best.argmax())]
    for i in range(len(chances) - 1, 0, -1):
        tags.append(int(back[i, tags[-1]]))
    return tags[::-1]


def _runs(tags: Sequence[int]) -> list[tuple[int, int]]:
    """[first, last) of each name."""
    begins = [i for i, tag in enumerate(tags) if tag == BEGIN]
    ends = [next((j for j in range(i + 1, len(tags)) if tags[j] != INSIDE), len(tags)) for i in begins]
    return list(zip(begins, ends, strict=True))


def load(path: Path = SHIPPED) -> Weights:
    """The weights at `path`, compared with the digest beside it; raises NamesError. Size, digest and every shape are checked before use."""
    from safetensors import SafetensorError
    from safetensors.numpy import load as parse

    if not path.is_file() or path.stat().st_size > MAX_BYTES:
        raise NamesError(f"{path} is missing or larger than {MAX_BYTES} bytes")
    raw, note = path.read_bytes(), path.with_suffix(".sha256")
    if not note.is_file() or hashlib.sha256(raw).hexdigest() != note.read_text(encoding="ascii").strip():
        raise NamesError(f"{path} is not what its digest in {note.name} says")
    try:
        tensors = {name: value.astype(np.float32) for name, value in parse(raw).items()}
        weights = Weights(**{name: tensors[name] for name in Weights.__dataclass_fields__})
    except (SafetensorError, KeyError, ValueError, struct.error) as error:
        raise NamesError(f"{path} is not a file of the reader of names: {error}") from error
    width, inner, spelled = len(weights.first_bias), len(weights.second_bias), weights.pieces.shape[-1]
    wanted = {
        "pieces": (BUCKETS, spelled), "first": (3, HIDDEN + SHAPES + spelled, width), "second": (3, width, inner), "out": (inner, 3), "out_bias": (3,),
    }  # fmt: skip
    if any(getattr(weights, name).shape != shape for name, shape in wanted.items()):
        raise NamesError(f"{path}: its tensors do not fit together")
    return weights
