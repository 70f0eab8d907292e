"""Fusion: by scores with the query's own weight, and by ranks."""

from hypothesis import given
from hypothesis import strategies as st
from slipway_retriever.index.fusion import ANY, MINILM, blend, fuse, share_for

ranking = st.lists(st.tuples(st.integers(0, 30), st.floats(0, 1)), max_size=20, unique_by=lambda pair: pair[0]).map(
    lambda pairs: sorted(pairs, key=lambda pair: -pair[1])
)


@given(ranking, ranking)
def test_a_blend_holds_every_item_once_in_order_and_in_range(dense: list[tuple[int, float]], words: list[tuple[int, float]]) -> None:
    found = blend(dense, words)
    assert {item for item, _ in found} == {item for item, _ in [*dense, *words]}
    assert len(found) == len({item for item, _ in found})
    scores = [score for _, score in found]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 + 1e-9 for score in scores)


def test_words_that_name_one_passage_outweigh_the_vectors() -> None:
    dense = [(1, 0.6), (2, 0.5)]
    assert blend(dense, [(2, 0.9), (1, 0.1), (3, 0.1), (4, 0.1), (5, 0.1)])[0][0] == 2


def test_words_that_many_passages_share_do_not() -> None:
    dense = [(1, 0.6), (2, 0.4)]
    assert blend(dense, [(n, 0.3 - n / 100) for n in (2, 3, 4, 5, 6, 1)])[0][0] == 1


def test_the_share_falls_with_the_gap() -> None:
    for share in (ANY, MINILM):
        shares = [share.of([(0, 0.6)], [(0, 0.2 + gap), *[(i, 0.2) for i in range(1, 6)]], 4) for gap in (0.0, 0.2, 0.4, 0.6)]
        assert shares == sorted(shares, reverse=True)
        assert share.of([(0, 0.6)], [], 4) == 1.0


def test_with_a_known_embedder_near_meaning_counts_and_long_questions_trust_words() -> None:
    words = [(item, 0.3) for item in range(6)]
    assert MINILM.of([(0, 0.8)], words, 4) > MINILM.of([(0, 0.4)], words, 4)
    assert MINILM.of([(0, 0.6)], words, 12) < MINILM.of([(0, 0.6)], words, 2)
    assert ANY.of([(0, 0.8)], words, 12) == ANY.of([(0, 0.4)], words, 2)
    assert share_for("sentence-transformers/all-MiniLM-L6-v2") is MINILM
    assert share_for("bge-small-en-v1.5") is ANY


def test_reciprocal_ranks() -> None:
    assert fuse([[1, 2], [2, 3]], constant=1)[0][0] == 2
    assert fuse([[7], [7]])[0] == (7, 1.0)
    assert [item for item, _ in fuse([[1], [2]], [1.0, 2.0])] == [2, 1]
