"""Maximal marginal relevance by hand, and through the real service."""

from typing import Any

import numpy as np
import pytest
from slipway_retriever.diversity import spread

VECTORS = np.array([[1, 0], [0.999, 0.045], [0, 1]], dtype=np.float32)


@pytest.mark.parametrize(("diversity", "order"), [(0.0, [0, 1, 2]), (0.6, [0, 2, 1]), (1.0, [0, 2, 1])])
def test_what_is_like_the_first_goes_back(diversity: float, order: list[int]) -> None:
    assert spread([0.9, 0.8, 0.5], VECTORS, 3, diversity) == order


def test_fewer_are_taken_than_there_are_and_none_of_none() -> None:
    assert spread([0.9, 0.8, 0.5], VECTORS, 2, 0.6) == [0, 2]
    assert spread([0.5, 0.5], VECTORS[:2], 5, 0.0) == [0, 1]
    assert spread([], VECTORS[:0], 5, 0.5) == []


def test_a_search_may_ask_for_unlike_passages(retriever: Any) -> None:
    retriever.ingest("a.txt", b"The harbour of Bremen was built in 1827 by the city.")
    retriever.ingest("b.txt", b"In 1827 the city of Bremen did build its harbour, at last.")
    retriever.ingest("c.txt", b"Bremen has an airport, a tram and many museums.")
    plain = [passage["filename"] for passage in retriever.search("when was the harbour of Bremen built", mode="hybrid", top_k=2)]
    mixed = [
        passage["filename"] for passage in retriever.search("when was the harbour of Bremen built", mode="hybrid", top_k=2, diversity=0.9)
    ]
    assert set(plain) == {"a.txt", "b.txt"}
    assert mixed[0] == plain[0]
    assert mixed[1] == "c.txt"
    body = {"query": "when was the harbour of Bremen built", "max_num_results": 2, "diversity": 0.9}
    found = retriever.client.post("/v1/vector_stores/vs_default/search", json=body).json()["data"]
    assert [result["filename"] for result in found] == mixed
    assert retriever.client.post("/v1/search", json={"query": "x", "diversity": 2}).status_code == 400
