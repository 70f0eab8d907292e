"""What an embedder is, and the weightless one. It refuses to know passages, stores and HTTP."""

import hashlib
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from slipway_shared.terms import terms

Vectors = NDArray[np.float32]
"""[texts, dimensions], rows of length 1."""


class Embedder(Protocol):
    """Turns token ids into vectors. Both verbs are called from worker threads; `embed` never from two at once."""

    @property
    def name(self) -> str:
        """The public name, for `model` fields."""
        ...

    @property
    def digest(self) -> str:
        """Changes whenever the same text may get another vector: stored vectors of another digest are computed anew."""
        ...

    @property
    def dimensions(self) -> int: ...

    @property
    def query_prefix(self) -> str:
        """What stands before a query (and not before a passage)."""
        ...

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, cut to what the model reads."""
        ...

    def embed(self, batch: Sequence[Sequence[int]]) -> Vectors:
        """One forward pass."""
        ...


class HashEmbedder:
    """Feature hashing of content words: texts that share words are near. No weights, so that real processes run without them."""

    name = "hash"
    digest = "hash-2"
    dimensions = 128
    query_prefix = ""

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """The hash of each content word; never empty."""
        return [[_number(term) for term in terms(text)[:2048]] or [0] for text in texts]

    def embed(self, batch: Sequence[Sequence[int]]) -> Vectors:
        """Signed counts, square-rooted, normalised."""
        out = np.zeros((len(batch), self.dimensions), dtype=np.float32)
        for row, numbers in enumerate(batch):
            for number in numbers:
                out[row, number % self.dimensions] += 1.0 if number & (1 << 31) else -1.0
        out = np.sign(out) * np.sqrt(np.abs(out))
        empty = ~out.any(axis=1)
        out[empty, 0] = 1.0
        return out / np.linalg.norm(out, axis=1, keepdims=True)


def _number(term: str) -> int:
    return int.from_bytes(hashlib.blake2b(term.encode(), digest_size=4).digest(), "little")
