"""What the reader of names is told of each word: MiniLM's state, the word's shape, and hashed pieces of its spelling.

It knows words and windows. It refuses to know which words are names. `python -m slipway_safety_filter.name_words` turns lines of JSON strings into an .npz
for the training recipe, so that training sees exactly what serving computes.
"""

import json
import re
import sys
import unicodedata
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from slipway_safety_filter import minilm
from slipway_safety_filter.features import alike
from slipway_safety_filter.minilm import HIDDEN

LAYER = 3
WINDOW_WORDS, OVERLAP = 96, 12
"""Words of a window, and how many at either border are read by both windows and taken from the one that shows more around them."""
MAX_TOKENS = 256
SHAPES, PIECES, BUCKETS = 16, 6, 4096
_WORD = re.compile(r"[^\W_]+(?:[-'’](?!s\b)[^\W_]+)*|[^\w\s]|_+")
_ENDS = frozenset(".!?:;•|")

Vectors = NDArray[np.float32]


class Words(NamedTuple):
    """Of n words: `states` [n, HIDDEN], `shapes` [n, SHAPES], `pieces` [n, PIECES] (buckets)."""

    states: Vectors
    shapes: Vectors
    pieces: NDArray[np.int64]


def spots(text: str) -> list[tuple[int, int]]:
    """Where the words and signs of `text` stand; "'s" is no part of a word."""
    return [match.span() for match in _WORD.finditer(text)]


def shapes(text: str, places: Sequence[tuple[int, int]]) -> Vectors:
    """How each word is written and what stands around it."""
    out = np.zeros((len(places), SHAPES), dtype=np.float32)
    cased = any(c.isupper() for c in text)
    before, last = 0, ""
    for i, (a, b) in enumerate(places):
        word, gap = text[a:b], text[before:a]
        bare = word.replace("-", "").replace("'", "").replace("’", "")
        out[i] = (
            word[0].isupper() and not word.isupper(), len(bare) > 1 and word.isupper(), word.islower(), any(c.isdigit() for c in word),
            len(word) == 1 and word.isupper(), not bare.isalnum(), last == "" or last in _ENDS, "\n" in gap or before == 0,
            word[0].islower() and not word.islower(), not word.isascii(), "\n" in text[b : b + 2], cased, bare != word, gap == "" and before > 0,
            min(len(word), 12) / 12, any(c.isupper() for c in word[1:]) and not word.isupper(),
        )  # fmt: skip
        before, last = b, word
    return out


def pieces(word: str) -> list[int]:
    """Buckets of the whole word, its beginnings and its ends, without case and accents."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", word.lower()) if not unicodedata.combining(c))
    parts = (f"={plain}", f"<{plain[:2]}", f"<{plain[:3]}", f"{plain[-2:]}>", f"{plain[-3:]}>", f"{plain[-4:]}>")
    return [zlib.crc32(part.encode("utf-8", "surrogatepass")) % BUCKETS for part in parts]


class WordReader:
    """MiniLM's first layers, word by word, on one core. Calls are made from one thread at a time."""

    def __init__(self, cache: Path) -> None:
        from slipway_shared.encoding.choice import choose
        from slipway_shared.encoding.session import OnnxSession
        from tokenizers import Tokenizer

        self._tokenizer = Tokenizer.from_file(str(minilm.folder() / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(max_length=MAX_TOKENS)
        self._session = OnnxSession(minilm.converted(cache, [LAYER], pooled=False), 1, choose("onnxruntime"))

    def read(self, text: str, places: Sequence[tuple[int, int]]) -> Words:
        """What is known of the words of `text` at `places`."""
        states = np.zeros((len(places), HIDDEN), dtype=np.float32)
        for (first, last), window in self._windows(text, places):
            # At a border that another window reads as well, that one knows more of the outer words.
            inner = slice(OVERLAP // 2 if first else 0, None)
            states[first:last][inner] = window[inner]
        return Words(states, shapes(text, places), np.asarray([pieces(text[a:b]) for a, b in places], dtype=np.int64).reshape(-1, PIECES))

    def _windows(self, text: str, places: Sequence[tuple[int, int]]) -> list[tuple[tuple[int, int], Vectors]]:
        step = WINDOW_WORDS - OVERLAP
        ranges = [(at, min(at + WINDOW_WORDS, len(places))) for at in range(0, max(1, len(places) - OVERLAP), step)] if places else []
        parts = [text[places[a][0] : places[b - 1][1]] for a, b in ranges]
        encoded = self._tokenizer.encode_batch(
            [part.encode("utf-8", "replace").decode() for part in parts]
        )  # a lone surrogate is read as "?"
        out: list[Vectors] = [np.zeros((0, HIDDEN), dtype=np.float32)] * len(ranges)
        for group in alike([len(e.ids) for e in encoded]):
            for i, rows in zip(group, self._run([encoded[i].ids for i in group]), strict=True):
                a, b = ranges[i]
                out[i] = _by_word(rows, encoded[i].offsets, [start - places[a][0] for start, _ in places[a:b]])
        return list(zip(ranges, out, strict=True))

    def _run(self, rows: Sequence[Sequence[int]]) -> Vectors:
        longest = max(map(len, rows))
        ids, mask = np.zeros((len(rows), longest), dtype=np.int64), np.zeros((len(rows), longest), dtype=np.int64)
        for i, row in enumerate(rows):
            ids[i, : len(row)], mask[i, : len(row)] = row, 1
        return self._session.run({"ids": ids, "mask": mask})


def _by_word(states: Vectors, offsets: Sequence[tuple[int, int]], starts: Sequence[int]) -> Vectors:
    """The mean state of each word's tokens; zeros for a word that has none."""
    tokens = [(i, start) for i, (start, end) in enumerate(offsets) if end > start]
    owner = np.searchsorted(np.asarray(starts), [start for _, start in tokens], side="right") - 1
    out, count = np.zeros((len(starts), HIDDEN), dtype=np.float32), np.zeros((len(starts), 1), dtype=np.float32)
    np.add.at(out, owner, states[[i for i, _ in tokens]])
    np.add.at(count, owner, 1)
    return (out / np.maximum(count, 1)).astype(np.float32)


def main(argv: Sequence[str]) -> None:
    """`name_words LINES.jsonl OUT.npz CACHE`: each line a JSON string; `counts` tells how many words each line has, `places` where they stand."""
    source, target, cache = argv
    reader = WordReader(Path(cache))
    texts = [json.loads(line) for line in Path(source).read_text(encoding="utf-8").splitlines()]
    places = [spots(text) for text in texts]
    read = [reader.read(text, here) for text, here in zip(texts, places, strict=True)]
    np.savez(
        target, states=np.concatenate([one.states for one in read]).astype(np.float16), shapes=np.concatenate([one.shapes for one in read]),
        pieces=np.concatenate([one.pieces for one in read]).astype(np.int16), counts=[len(one.states) for one in read],
        places=np.asarray([spot for here in places for spot in here], dtype=np.int64).reshape(-1, 2),
    )  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1:])
