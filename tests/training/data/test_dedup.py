from collections.abc import Callable
from random import Random

import numpy as np
import pytest
from slipway_training.data.dedup import Deduplicator, gram_hashes, jaccard, words_of
from slipway_training.data.document import Document, Tally
from slipway_training.data.mixture import Dedup

Prose = Callable[..., str]


def kept(texts: list[str], config: Dedup | None = None) -> tuple[list[int], Tally]:
    tally = Tally()
    documents = (Document(t, "s", i) for i, t in enumerate(texts))
    return [d.number for d in Deduplicator(config or Dedup()).keep(documents, tally)], tally


def edited(text: str, edits: int, rng: Random) -> str:
    words = text.split()
    for place in rng.sample(range(len(words)), edits):
        words[place] = f"changed{rng.randrange(10**6)}"
    return " ".join(words)


def true_jaccard(a: str, b: str, n: int) -> float:
    return jaccard(*(np.unique(gram_hashes(words_of(t), n)) for t in (a, b)))


def test_copies_that_differ_in_case_and_spacing_are_exact(write_prose: Prose) -> None:
    text = write_prose(1)
    numbers, tally = kept([text, text.upper().replace("\n\n", "  "), write_prose(2), text + "!"])
    assert numbers == [0, 2]
    assert tally.dropped == {"exact_copy": 2} and tally.kept == 2


def test_near_copies_by_measured_recall_and_precision(write_prose: Prose) -> None:
    """240 originals and for each a copy with 1 to 60 words changed; what counts is the true Jaccard index of each pair, computed apart."""
    rng = Random(3)
    config = Dedup(threshold=0.7)
    originals = [write_prose(seed, 40) for seed in range(240)]
    copies = [edited(text, rng.randrange(1, 61), rng) for text in originals]
    numbers, _ = kept([*originals, *copies], config)
    dropped = set(range(len(originals), 2 * len(originals))) - set(numbers)
    true = {
        len(originals) + i
        for i, (a, b) in enumerate(zip(originals, copies, strict=True))
        if true_jaccard(a, b, config.shingle_words) >= config.threshold
    }
    assert 60 < len(true) < 180, "the made copies should lie on both sides of the threshold"
    assert set(range(len(originals))) <= set(numbers), "unrelated documents are never copies of each other"
    precision = len(dropped & true) / len(dropped)
    recall = len(dropped & true) / len(true)
    assert precision == 1.0, "every candidate is checked by its true index"
    assert recall >= 0.98, f"recall {recall:.3f}"


def test_without_near_only_exact_copies_go(write_prose: Prose) -> None:
    text = write_prose(5, 40)
    near = text.replace("the", "that", 1)
    assert kept([text, near])[0] == [0]
    assert kept([text, near, text], Dedup(near=False))[0] == [0, 1]
    assert kept([text, text], Dedup(near=False, exact=False))[0] == [0, 1]


def test_short_and_empty_texts_are_compared_whole() -> None:
    assert kept(["one two", "one two", "one three", "", "..."])[0] == [0, 2, 3]


def test_the_same_documents_give_the_same_answer(write_prose: Prose) -> None:
    rng = Random(9)
    texts = [write_prose(s, 30) for s in range(30)]
    texts += [edited(t, 4, rng) for t in texts]
    assert kept(texts)[0] == kept(texts)[0]


@pytest.mark.parametrize("n", [1, 3, 8])
def test_runs_of_words(n: int) -> None:
    words = "a b c d e".split()
    assert len(gram_hashes(words, n)) == max(1, 5 - n + 1)
    assert len(gram_hashes([], n)) == 0
    assert gram_hashes(words, n)[0] == gram_hashes(words[:n], n)[0]
