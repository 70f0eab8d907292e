"""The text that a vocabulary is trained on and measured on: documents of a curated mixture, cut by weight, the measured ones never trained on.

It knows documents, domains and budgets. It refuses to know tokens.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from slipway_training.data.curate import Curated
from slipway_training.data.document import Document


@dataclass(frozen=True, slots=True)
class Corpus:
    """Curated documents, and for each source how many characters of it are trained on."""

    curated: Curated
    characters: dict[str, int]
    held_out: float

    def training(self) -> Iterator[str]:
        """Training text, source by source, up to each one's characters."""
        return chain.from_iterable(self._of(name, limit) for name, limit in self.characters.items())

    def measured(self) -> Iterator[tuple[str, str]]:
        """(domain, text) of the documents kept apart."""
        for source in self.curated.mixture.sources:
            for document in self.curated.spools[source.name].read():
                if is_held_out(document, self.held_out):
                    yield source.domain, document.text

    def _of(self, name: str, limit: int) -> Iterator[str]:
        left = limit
        for document in self.curated.spools[name].read():
            if left <= 0:
                return
            if not is_held_out(document, self.held_out):
                left -= len(document.text)
                yield document.text


def make_corpus(curated: Curated, characters: int, held_out: float) -> Corpus:
    """`characters` shared by the mixture's weights; a source that has less gives what it has, and the rest goes to the others."""
    available = {s.name: int(curated.counts[s.name]["copies"]["characters_kept"]) for s in curated.mixture.sources}
    weights = {s.name: s.weight for s in curated.mixture.sources}
    shares: dict[str, int] = {}
    left = characters
    # The scarcest for its weight first: what it cannot give is then shared among those that can.
    for name in sorted(available, key=lambda n: available[n] / weights[n]):
        part = left * weights[name] / sum(weights[n] for n in available if n not in shares)
        shares[name] = min(available[name], int(part))
        left -= shares[name]
    return Corpus(curated, {s.name: shares[s.name] for s in curated.mixture.sources}, held_out)


def is_held_out(document: Document, share: float) -> bool:
    """By the text's digest: the same document falls on the same side in every run, wherever it stands."""
    number = int.from_bytes(hashlib.blake2b(document.text.encode(), digest_size=8).digest(), "big")
    return number < share * 2**64
