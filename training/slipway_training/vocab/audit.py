"""What a vocabulary does with text: how many bytes a token carries in each domain, and which tokens it hardly ever uses.

It knows counts. It refuses to judge: the recipe's README says what the figures mean.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

BATCH = 256
WHITE = frozenset("ĠĊĉč")
"""Space, line feed, tab and carriage return in the byte alphabet: on their own they are text, not a fallback."""
Item = TypeVar("Item")


@dataclass(slots=True)
class Fertility:
    """One domain of held-out text. Bytes are UTF-8; words are runs without white space."""

    documents: int = 0
    bytes: int = 0
    words: int = 0
    tokens: int = 0
    rare: int = 0
    single_bytes: int = 0

    def as_dict(self) -> dict[str, float]:
        """Counts and rates, for JSON."""
        tokens = max(1, self.tokens)
        return {
            "documents": self.documents, "bytes": self.bytes, "tokens": self.tokens, "bytes_per_token": round(self.bytes / tokens, 4),
            "tokens_per_word": round(self.tokens / max(1, self.words), 4), "rare_token_rate": round(self.rare / tokens, 6),
            "byte_token_rate": round(self.single_bytes / tokens, 6),
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class VocabularyAudit:
    """Counts of every token in training text, and each domain's figures on held-out text."""

    counts: NDArray[np.int64]
    rare_below: int
    never: int
    rare: int
    domains: dict[str, Fertility] = field(default_factory=dict[str, Fertility])

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return {
            "training_tokens": int(self.counts.sum()), "rare_below": self.rare_below, "tokens_never_seen": self.never, "tokens_rare": self.rare,
            "domains": {name: f.as_dict() for name, f in sorted(self.domains.items())},
        }  # fmt: skip


def audit(
    tokenizer: Tokenizer, training: Iterable[str], measured: Iterable[tuple[str, str]], rare_below: int, advance: Callable[[int], None]
) -> VocabularyAudit:
    """Counts tokens over `training`, then measures (domain, text) of `measured`. Special and single-byte tokens are not called rare: they must exist."""
    size = tokenizer.get_vocab_size()
    single, needed = _kinds(tokenizer)
    counts = np.zeros(size, np.int64)
    for texts in _batches(training):
        for ids in _encode(tokenizer, texts):
            counts += np.bincount(ids, minlength=size)
        advance(sum(map(len, texts)))
    rare = (counts < rare_below) & ~needed
    domains: dict[str, Fertility] = {}
    for pairs in _batches(measured):
        for (domain, text), ids in zip(pairs, _encode(tokenizer, [t for _, t in pairs]), strict=True):
            found = domains.setdefault(domain, Fertility())
            found.documents += 1
            found.bytes += len(text.encode())
            found.words += len(text.split())
            found.tokens += len(ids)
            found.rare += int(rare[ids].sum())
            found.single_bytes += int(single[ids].sum())
    return VocabularyAudit(counts, rare_below, int(((counts == 0) & ~needed).sum()), int(rare.sum()), domains)


def _kinds(tokenizer: Tokenizer) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which ids are part of a character or a byte that no text may need (fallback bytes, single symbols of the byte alphabet), and which must exist anyway."""
    size = tokenizer.get_vocab_size()
    single, needed = np.zeros(size, np.bool_), np.zeros(size, np.bool_)
    fallback = tokenizer.token_to_id("<0x00>") is not None
    for token, number in tokenizer.get_vocab().items():
        is_byte = (token.startswith("<0x") and len(token) == 6) if fallback else (len(token) == 1)
        # In a byte-level vocabulary printable ASCII stands for itself: a letter on its own is a letter, not a fallback.
        single[number] = is_byte and (fallback or not (token.isascii() or token in WHITE))
        needed[number] = is_byte or (token.startswith("<|") and token.endswith("|>")) or token == "<unk>"  # noqa: S105
    return single, needed


def _encode(tokenizer: Tokenizer, texts: list[str]) -> Iterator[NDArray[np.int64]]:
    return (np.asarray(e.ids, dtype=np.int64) for e in tokenizer.encode_batch_fast(texts, add_special_tokens=False))


def _batches(items: Iterable[Item]) -> Iterator[list[Item]]:
    items = iter(items)
    while batch := list(islice(items, BATCH)):
        yield batch
