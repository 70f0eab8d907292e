"""The index of vectors: exact when small, lists when large, the same answers through growth, removal and shrinking."""

import numpy as np
import pytest
from numpy.typing import NDArray
from slipway_retriever.index.adaptive import AdaptiveIndex
from slipway_retriever.index.exact import ExactIndex

DIMENSIONS = 32


def clustered(count: int, seed: int = 1) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(0).standard_normal((50, DIMENSIONS))
    vectors = centres[rng.integers(0, 50, count)] + 0.4 * rng.standard_normal((count, DIMENSIONS))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def recall(index: AdaptiveIndex, truth: ExactIndex, queries: NDArray[np.float32]) -> float:
    return float(np.mean([len(set(index.search(q, 10)[0].tolist()) & set(truth.search(q, 10)[0].tolist())) / 10 for q in queries]))


def test_a_small_store_is_searched_exactly() -> None:
    index = AdaptiveIndex(DIMENSIONS, exact_below=1000)
    vectors = clustered(500)
    index.add(np.arange(500) + 7, vectors)
    assert index.kind == "exact"
    numbers, scores = index.search(vectors[3], 3)
    assert numbers[0] == 10
    assert scores[0] == pytest.approx(1, abs=1e-5)
    np.testing.assert_array_equal(np.argsort(-(vectors @ vectors[3]))[:3] + 7, numbers)


def test_a_large_store_gets_lists_with_the_recall_that_it_reports() -> None:
    index, truth = AdaptiveIndex(DIMENSIONS, exact_below=2000), ExactIndex(DIMENSIONS)
    vectors = clustered(6000)
    for start in range(0, 6000, 1500):
        numbers = np.arange(start, start + 1500)
        index.add(numbers, vectors[start : start + 1500])
        truth.add(numbers, vectors[start : start + 1500])
    assert index.kind.startswith("ivf")
    assert len(index) == 6000
    assert recall(index, truth, clustered(100, seed=2)) >= 0.97


def test_what_is_removed_is_never_found_again() -> None:
    index = AdaptiveIndex(DIMENSIONS, exact_below=1000)
    vectors = clustered(3000)
    index.add(np.arange(3000), vectors)
    index.remove(np.arange(0, 3000, 2))
    assert len(index) == 1500
    found = np.concatenate([index.search(vector, 20)[0] for vector in vectors[:50]])
    assert (found % 2 == 1).all()


def test_a_store_that_shrank_is_exact_again() -> None:
    index = AdaptiveIndex(DIMENSIONS, exact_below=1000)
    vectors = clustered(3000)
    index.add(np.arange(3000), vectors)
    index.remove(np.arange(100, 3000))
    assert index.kind == "exact"
    assert all(index.search(vectors[i], 1)[0][0] == i for i in range(100))


def test_a_narrow_filter_costs_no_recall() -> None:
    index = AdaptiveIndex(DIMENSIONS, exact_below=1000)
    vectors = clustered(3000)
    index.add(np.arange(3000), vectors)
    allowed = np.array([5, 17, 2999])
    assert set(index.search(vectors[0], 10, allowed)[0].tolist()) == {5, 17, 2999}


def test_an_empty_index_finds_nothing() -> None:
    assert AdaptiveIndex(DIMENSIONS, exact_below=10).search(clustered(1)[0], 5)[0].tolist() == []
