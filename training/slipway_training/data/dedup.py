"""Copies among documents: exact ones by digest, near ones by MinHash with banding and then by the true Jaccard index.

It knows the documents that it kept, by their shingles. It refuses to know which copy is the better one: the first stays.

MinHash: Broder 1997, "On the resemblance and containment of documents"; banding: Leskovec, Rajaraman, Ullman, "Mining of Massive Datasets", section 3.4.
datasketch chooses bands and rows; a missed pair costs more than a candidate too many, since every candidate is checked. Memory is about 5 KB for each kept
document of 600 words (its shingles as 64-bit numbers and its bands).
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray

from slipway_training.data.document import Document, Tally
from slipway_training.data.mixture import Dedup
from slipway_training.errors import StackMissing

try:
    from datasketch import MinHash, MinHashLSH
except ImportError as error:  # pragma: no cover - depends on the installation
    raise StackMissing("datasketch", "data") from error

WEIGHTS = (0.1, 0.9)
"""How much a false candidate and a missed pair weigh when bands are chosen."""
_WORD = re.compile(r"\w+")


def words_of(text: str) -> list[str]:
    """The words that copies are compared by: folded case, no punctuation, no spacing."""
    return _WORD.findall(text.casefold())


def gram_hashes(words: Sequence[str], n: int) -> NDArray[np.uint64]:
    """A 64-bit number for each run of `n` words, in order; text shorter than `n` is one run. Equal runs are equal numbers in every process."""
    if not words:
        return np.zeros(0, np.uint64)
    runs = (" ".join(words[i : i + n]) for i in range(max(1, len(words) - n + 1)))
    raw = b"".join(hashlib.blake2b(run.encode(), digest_size=8).digest() for run in runs)
    return np.frombuffer(raw, dtype="<u8").astype(np.uint64)


def jaccard(a: NDArray[np.uint64], b: NDArray[np.uint64]) -> float:
    """Shared part of two sorted sets of shingles."""
    shared = len(np.intersect1d(a, b, assume_unique=True))
    return shared / max(1, len(a) + len(b) - shared)


class Deduplicator:
    """Keeps the first of every group of copies, over all sources that pass through it in order."""

    def __init__(self, config: Dedup) -> None:
        """`config` says which kinds of copies, and from which Jaccard index on."""
        self._config = config
        self._digests: set[bytes] = set()
        self._shingles: list[NDArray[np.uint64]] = []
        self._lsh = MinHashLSH(threshold=config.threshold, num_perm=config.permutations, weights=WEIGHTS)
        self._blank = MinHash(num_perm=config.permutations, seed=1, hashfunc=_low_half)

    def keep(self, documents: Iterable[Document], tally: Tally) -> Iterator[Document]:
        """The documents that are no copy of one before; copies are counted as `exact_copy` and `near_copy`."""
        for document in documents:
            reason = self._copy(document.text)
            if reason:
                tally.dropped[reason] += 1
                continue
            tally.kept += 1
            tally.characters_kept += len(document.text)
            yield document

    def _copy(self, text: str) -> str | None:
        words = words_of(text)
        if self._config.exact:
            digest = hashlib.blake2b(" ".join(words).encode(), digest_size=16).digest()
            if digest in self._digests:
                return "exact_copy"
            self._digests.add(digest)
        if self._config.near and words:
            shingles = np.unique(gram_hashes(words, self._config.shingle_words))
            sketch = self._blank.copy()
            sketch.update_batch(shingles.tolist())
            for other in cast("list[int]", self._lsh.query(sketch)):
                if jaccard(shingles, self._shingles[other]) >= self._config.threshold:
                    return "near_copy"
            self._lsh.insert(len(self._shingles), sketch, check_duplication=False)
            self._shingles.append(shingles)
        return None


def _low_half(number: int) -> int:
    """MinHash wants 32 bits; the shingle is already a hash."""
    return number & 0xFFFFFFFF
