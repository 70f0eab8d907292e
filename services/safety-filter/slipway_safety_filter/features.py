"""What a classifier reads of a text: hashed word sequences (cheap) and mean states of MiniLM's layers (dear), by windows.

It knows tokenization, windows and hashing. It refuses to know classes. `python -m slipway_safety_filter.features` turns lines of JSON strings into
an .npz for the training recipe, so that training sees exactly what serving computes.
"""

import json
import re
import sys
import zlib
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from slipway_safety_filter import minilm, views

BUCKETS = 1 << 15
WINDOW_WORDS = 48
STEP_WORDS = 32
MAX_WINDOW_CHARS = 4096
MAX_TOKENS = 96
TAPS = (1, 2, 3)
_WORD = re.compile(r"[^\W_]+|[^\w\s]")

Vectors = NDArray[np.float32]


class _Session(Protocol):
    def run(self, outputs: list[str], feeds: dict[str, NDArray[np.int64]]) -> list[NDArray[np.float32]]: ...


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
    grams: set[str] = set(tokens)
    grams.update(f"{a} {b}" for a, b in pairwise(tokens))
    grams.update(f"{a} {b} {c}" for a, b, c in zip(tokens, tokens[1:], tokens[2:], strict=False))
    grams.update(f"{a} _ {c}" for a, c in zip(tokens, tokens[2:], strict=False))
    return np.asarray(sorted({zlib.crc32(gram.encode()) % BUCKETS for gram in grams}), dtype=np.int64)


class Encoder:
    """MiniLM on one core. Calls are made from one thread at a time."""

    def __init__(self, cache: Path, taps: Sequence[int] = TAPS) -> None:
        import onnxruntime
        from tokenizers import Tokenizer

        self._tokenizer = Tokenizer.from_file(str(minilm.folder() / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(max_length=MAX_TOKENS)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.enable_cpu_mem_arena = False
        graph = str(minilm.converted(cache, taps))
        self._session = cast(_Session, onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"]))

    def encode(self, texts: Sequence[str]) -> Vectors:
        """[texts, taps * 384]. One forward pass per text of a like length: padding costs more than it saves on one core."""
        rows = [self._run(encoding.ids) for encoding in self._tokenizer.encode_batch(list(texts))]
        return np.concatenate(rows) if rows else np.zeros((0, 0), dtype=np.float32)

    def _run(self, ids: Sequence[int]) -> Vectors:
        row = np.asarray([ids], dtype=np.int64)
        return self._session.run(["pooled"], {"ids": row, "mask": np.ones_like(row)})[0]


def main(argv: Sequence[str]) -> None:
    """`features LINES.jsonl OUT.npz CACHE [TAP...]`: each line a JSON string; one row per line, windows not applied."""
    source, target, cache, *taps = argv
    texts = [json.loads(line) for line in Path(source).read_text(encoding="utf-8").splitlines()]
    encoder = Encoder(Path(cache), [int(tap) for tap in taps] or TAPS)
    buckets = [hashed(words(text)) for text in texts]
    np.savez(
        target, pooled=encoder.encode(texts).astype(np.float16), buckets=np.concatenate(buckets),
        offsets=np.cumsum([0, *(len(b) for b in buckets)]),
    )  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1:])
