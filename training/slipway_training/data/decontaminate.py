"""Takes documents out of training that hold text of an evaluation.

It knows runs of words of the evaluation items. It refuses to know answers, scores or which evaluation matters more.

A document is contaminated when it holds any run of `ngram_words` words of an item (13 in GPT-3: Brown et al. 2020, arXiv 2005.14165, appendix C). An item
shorter than that is looked for whole, down to eight words, GPT-3's lower bound; shorter ones would match by chance and are counted as unchecked.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from slipway_training.data.dedup import gram_hashes, words_of
from slipway_training.data.document import Document, Tally
from slipway_training.data.mixture import Decontaminate
from slipway_training.data.readers import read

SHORTEST = 8
"""Words of the shortest item that is looked for."""


@dataclass(slots=True)
class EvalCount:
    """What was found of one evaluation: its items, those too short to look for, its items met in training text, and the documents removed for it."""

    items: int = 0
    unchecked: int = 0
    found: set[int] = field(default_factory=set[int])
    documents: int = 0

    def as_dict(self) -> dict[str, int]:
        """For JSON."""
        return {"items": self.items, "unchecked": self.unchecked, "items_found": len(self.found), "documents_removed": self.documents}


class Decontaminator:
    """Holds every run of words of the evaluations; about 100 bytes a run."""

    def __init__(self, ngram_words: int, evals: Mapping[str, Iterable[str]]) -> None:
        """`evals` gives each evaluation's items as text."""
        self._words = ngram_words
        self.counts = {name: EvalCount() for name in evals}
        self._grams: dict[int, dict[int, tuple[str, int]]] = {}
        for name, items in evals.items():
            for number, item in enumerate(items):
                self._add(name, number, item)

    @classmethod
    def of(cls, config: Decontaminate) -> "Decontaminator":
        """Reads the evaluation sets of a mixture; raises DataMissing when one is not there."""
        return cls(config.ngram_words, {e.name: [d.text for d in read(e, Tally())] for e in config.evals})

    def keep(self, documents: Iterable[Document], tally: Tally) -> Iterator[Document]:
        """The documents that hold no run of an evaluation; others are counted as `eval_NAME` and by evaluation in `counts`."""
        for document in documents:
            hits = self._hits(document.text)
            if not hits:
                tally.kept += 1
                tally.characters_kept += len(document.text)
                yield document
                continue
            for name in sorted({name for name, _ in hits}):
                tally.dropped[f"eval_{name}"] += 1
                self.counts[name].documents += 1
            for name, item in hits:
                self.counts[name].found.add(item)

    def _add(self, name: str, number: int, item: str) -> None:
        words = words_of(item)
        self.counts[name].items += 1
        if len(words) < SHORTEST and len(words) < self._words:
            self.counts[name].unchecked += 1
            return
        n = min(len(words), self._words)
        grams = self._grams.setdefault(n, {})
        for gram in gram_hashes(words, n).tolist():
            grams.setdefault(gram, (name, number))

    def _hits(self, text: str) -> list[tuple[str, int]]:
        words = words_of(text)
        hits: dict[tuple[str, int], None] = {}
        for n, grams in self._grams.items():
            if len(words) >= n:
                hits.update(dict.fromkeys(grams[g] for g in gram_hashes(words, n).tolist() if g in grams))
        return list(hits)
