"""BM25 against a plain dictionary implementation, through additions, merges and removals."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slipway_retriever.index.bm25 import K1, MAX_SEGMENTS, B, Bm25Index
from slipway_shared.terms import terms

WORDS = ["heron", "plover", "stork", "dune", "reed", "tide", "moon", "salt"]
passage = st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join)


def expected(texts: dict[int, str], query: str) -> dict[int, float]:
    """The formula, word by word."""
    counted = {number: Counter(terms(text)) for number, text in texts.items()}
    mean = sum(sum(c.values()) for c in counted.values()) / len(counted)
    out: dict[int, float] = {}
    for number, counts in counted.items():
        score = 0.0
        for term, weight in Counter(terms(query)).items():
            held = sum(term in c for c in counted.values())
            idf = math.log(1 + (len(counted) - held + 0.5) / (held + 0.5))
            damping = K1 * (1 - B + B * sum(counts.values()) / mean) if mean else K1
            score += weight * idf * (K1 + 1) * counts[term] / (counts[term] + damping) if counts[term] else 0
        if score:
            out[number] = score
    return out


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(passage, min_size=1, max_size=4), min_size=1, max_size=14), st.sets(st.integers(0, 55)), passage.filter(bool))
def test_scores_are_the_formulas(batches: list[list[str]], removed: set[int], query: str) -> None:
    index, texts = Bm25Index(), dict[int, str]()
    for batch in batches:
        numbers = np.arange(len(texts), len(texts) + len(batch))
        index.add(numbers, batch)
        texts.update(zip(numbers.tolist(), batch, strict=True))
    index.remove(np.array(sorted(removed), dtype=np.int64))
    texts = {number: text for number, text in texts.items() if number not in removed}
    assert len(index) == len(texts)
    numbers, scores = index.search(query, 100)
    wanted = expected(texts, query) if texts else {}
    assert set(numbers.tolist()) == set(wanted)
    best = sum(w * _idf(texts, term) * (K1 + 1) for term, w in Counter(terms(query)).items()) if texts else 1
    for number, score in zip(numbers.tolist(), scores.tolist(), strict=True):
        assert score == pytest.approx(wanted[number] / best, rel=1e-4)
    assert scores.tolist() == sorted(scores.tolist(), reverse=True)


def _idf(texts: dict[int, str], term: str) -> float:
    held = sum(term in terms(text) for text in texts.values())
    return math.log(1 + (len(texts) - held + 0.5) / (held + 0.5))


def test_the_best_k_are_the_first_of_all() -> None:
    index = Bm25Index()
    for i in range(0, 600, 50):
        index.add(np.arange(i, i + 50), [f"heron {'dune ' * (n % 17)}" for n in range(i, i + 50)])
    everything, few = index.search("heron dune", 600), index.search("heron dune", 7)
    np.testing.assert_allclose(few[1], everything[1][:7])


def test_only_what_is_allowed_is_found() -> None:
    index = Bm25Index()
    index.add(np.array([4, 9]), ["heron", "heron"])
    assert index.search("heron", 5, np.array([9]))[0].tolist() == [9]
    assert index.search("heron", 5, np.zeros(0, dtype=np.int64))[0].tolist() == []


def test_many_small_additions_stay_few_segments() -> None:
    index = Bm25Index()
    for i in range(100):
        index.add(np.array([i]), [f"heron number{i}"])
    assert len(index) == 100
    assert index.segments <= MAX_SEGMENTS
    assert index.search("number77", 3)[0].tolist() == [77]


def test_a_query_without_content_words_finds_nothing() -> None:
    index = Bm25Index()
    index.add(np.array([1]), ["the heron"])
    assert index.search("what is it?", 5)[0].tolist() == []
