"""What a classifier reads of a text: hashed word sequences (cheap) and mean states of MiniLM's layers (dear), by windows.

It knows tokenization, windows and hashing. It refuses to know classes. `python -m slipway_safety_filter.features` turns lines of JSON strings into
an .npz for the training recipe, so that training sees exactly what serving computes.
"""

import bisect
import json
import re
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from slipway_safety_filter import minilm, views
from slipway_safety_filter.minilm import HIDDEN

BUCKETS = 1 << 15
WINDOW_WORDS = 48
STEP_WORDS = 32
MAX_WINDOW_CHARS = 4096
MAX_TOKENS = 96
TAPS = (2, 4)
GROUP = 16
"""At most so many windows in one forward pass."""
_WORD = re.compile(r"[^\W_]+|[^\w\s]")

Vectors = NDArray[np.float32]


def words(text: str) -> list[str]:
    """Lower-case words and signs of `text`, look-alikes folded."""
    view = views.folded(text)
    return _WORD.findall((view.text if view else text).lower())


def window_spots(text: str) -> list[tuple[int, int]]:
    """Where the overlapping windows of WINDOW_WORDS words stand."""
    spots = [match.span() for match in _WORD.finditer(text)]
    if len(spots) <= WINDOW_WORDS:
        return [(0, min(len(text), MAX_WINDOW_CHARS))]
    starts = list(range(0, len(spots) - WINDOW_WORDS + STEP_WORDS, STEP_WORDS))
    ends = [spots[min(a + WINDOW_WORDS, len(spots)) - 1][1] for a in starts]
    return [(spots[a][0], min(end, spots[a][0] + MAX_WINDOW_CHARS)) for a, end in zip(starts, ends, strict=True)]


def hashed(tokens: Sequence[str]) -> NDArray[np.int64]:
    """The distinct buckets of the words, pairs and triples (also with one word left out) of `tokens`, in ascending order."""
    return Grams(tokens).buckets(0, len(tokens))


class Grams:
    """The hashes of a whole text's word sequences, from which those of any window are taken: windows overlap, and are hashed once.

    "a b c" is hashed on from the hash of "a b" (a CRC can be continued), so each sequence costs one step.
    """

    def __init__(self, tokens: Sequence[str]) -> None:
        raw = [token.encode("utf-8", "surrogatepass") for token in tokens]
        after = [b" " + word for word in raw]
        ones = [zlib.crc32(word) for word in raw]
        twos = [zlib.crc32(word, ones[i]) for i, word in enumerate(after[1:])]
        threes = [zlib.crc32(word, twos[i]) for i, word in enumerate(after[2:])]
        gaps = [zlib.crc32(b" _" + word, ones[i]) for i, word in enumerate(after[2:])]
        self._rows = [(np.asarray(row, dtype=np.int64) % BUCKETS, less) for row, less in ((ones, 0), (twos, 1), (threes, 2), (gaps, 2))]

    def buckets(self, start: int, end: int) -> NDArray[np.int64]:
        """The distinct buckets of the tokens [start, end), in ascending order."""
        return np.unique(np.concatenate([row[start : max(start, end - less)] for row, less in self._rows]))


def window_buckets(text: str, spots: Sequence[tuple[int, int]]) -> list[NDArray[np.int64]]:
    """The buckets of each of the windows `spots` of `text`."""
    if not text.isascii() or len(spots) == 1:
        return [hashed(words(text[a:b])) for a, b in spots]
    places = [match.span() for match in _WORD.finditer(text)]
    starts, ends = [a for a, _ in places], [b for _, b in places]
    grams = Grams([text[a:b].lower() for a, b in places])
    out: list[NDArray[np.int64]] = []
    for a, b in spots:
        first, last = bisect.bisect_left(starts, a), bisect.bisect_right(ends, b)
        # A window that cuts a word is read as it stands.
        whole = first < last and (first == 0 or ends[first - 1] <= a) and (last == len(places) or starts[last] >= b)
        out.append(grams.buckets(first, last) if whole else hashed(words(text[a:b])))
    return out


class Encoder:
    """MiniLM on one core. Calls are made from one thread at a time."""

    def __init__(self, cache: Path, taps: Sequence[int] = TAPS) -> None:
        from slipway_shared.encoding.choice import choose
        from slipway_shared.encoding.session import OnnxSession
        from tokenizers import Tokenizer

        self._taps = tuple(taps)
        self._tokenizer = Tokenizer.from_file(str(minilm.folder() / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(max_length=MAX_TOKENS)
        # Not OpenVINO, also where the processor has AMX: for the window or two of a check it is hardly faster, and it takes 130 MB more (docs/safety.md).
        self._session = OnnxSession(minilm.converted(cache, taps), 1, choose("onnxruntime"))

    def encode(self, texts: Sequence[str]) -> Vectors:
        """[texts, taps * 384]. Texts of a like length share a forward pass: on one core a third faster for short ones."""
        ids = [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts))]
        rows = np.zeros((len(ids), HIDDEN * len(self._taps)), dtype=np.float32)
        for group in alike([len(row) for row in ids]):
            rows[group] = self._run([ids[i] for i in group])
        return rows

    def _run(self, rows: Sequence[Sequence[int]]) -> Vectors:
        longest = max(map(len, rows))
        ids, mask = np.zeros((len(rows), longest), dtype=np.int64), np.zeros((len(rows), longest), dtype=np.int64)
        for i, row in enumerate(rows):
            ids[i, : len(row)], mask[i, : len(row)] = row, 1
        return self._session.run({"ids": ids, "mask": mask})


def alike(lengths: Sequence[int]) -> list[list[int]]:
    """Indices in groups of at most GROUP whose lengths differ by at most an eighth: padding would cost more than sharing saves."""
    groups: list[list[int]] = []
    for i in sorted(range(len(lengths)), key=lengths.__getitem__):
        if groups and len(groups[-1]) < GROUP and lengths[i] <= lengths[groups[-1][0]] * 9 / 8:
            groups[-1].append(i)
        else:
            groups.append([i])
    return groups


def main(argv: Sequence[str]) -> None:
    """`features LINES.jsonl OUT.npz CACHE [TAP...]`: each line a JSON string; one row per line, windows not applied."""
    source, target, cache, *taps = argv
    texts = [json.loads(line) for line in Path(source).read_text(encoding="utf-8").splitlines()]
    encoder = Encoder(Path(cache), [int(tap) for tap in taps] or TAPS)
    buckets = [hashed(words(text)) for text in texts]
    np.savez(
        target, pooled=np.concatenate([encoder.encode([text]) for text in texts]).astype(np.float16), buckets=np.concatenate(buckets),
        offsets=np.cumsum([0, *(len(b) for b in buckets)]),
    )  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1:])
