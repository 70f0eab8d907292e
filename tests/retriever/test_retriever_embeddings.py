"""`POST /v1/embeddings` with the real model: OpenAI's list, base64, shorter vectors, usage, bounds."""

import base64
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from slipway_retriever.settings import RetrieverSettings


@pytest.fixture(scope="module")
def running(serve: Any, model_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Generator[Any]:
    with serve(RetrieverSettings(data_dir=tmp_path_factory.mktemp("data"), cache_dir=model_cache)) as running:
        yield running


def embed(running: Any, **body: Any) -> dict[str, Any]:
    answer = running.client.post("/v1/embeddings", json={"model": "all-MiniLM-L6-v2", **body})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_list_in_the_order_of_the_input(running: Any) -> None:
    answer = embed(running, input=["A heron stands in the reeds.", "Stock prices fell.", "A wading bird waits near the shore."])
    assert [row["index"] for row in answer["data"]] == [0, 1, 2]
    heron, stocks, bird = (np.array(row["embedding"]) for row in answer["data"])
    assert heron.shape == (384,)
    assert heron @ bird > heron @ stocks + 0.2
    assert answer["usage"]["prompt_tokens"] == answer["usage"]["total_tokens"] > 15
    assert answer["object"] == "list"


def test_base64_is_the_same_vector(running: Any) -> None:
    plain = embed(running, input="heron")["data"][0]["embedding"]
    coded = embed(running, input="heron", encoding_format="base64")["data"][0]["embedding"]
    np.testing.assert_allclose(np.frombuffer(base64.b64decode(coded), dtype="<f4"), plain, rtol=1e-6)


def test_fewer_dimensions_keep_length_one(running: Any) -> None:
    vector = embed(running, input="heron", dimensions=64)["data"][0]["embedding"]
    assert len(vector) == 64
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    "body", [{"input": []}, {"input": ""}, {"input": ["x"] * 257}, {"input": "x", "dimensions": 385}, {"input": [1, 2]}, {}]
)
def test_bad_input_is_refused(running: Any, body: dict[str, Any]) -> None:
    answer = running.client.post("/v1/embeddings", json={"model": "m", **body})
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"


def test_meaning_is_found_without_a_shared_word(running: Any) -> None:
    running.ingest("a.txt", b"The physician prescribed antibiotics for the infection.")
    running.ingest("b.txt", b"The orchestra rehearsed a symphony by Mahler.")
    found = running.search("Which doctor gave medicine?", mode="dense", top_k=2)
    assert found[0]["filename"] == "a.txt"
    assert found[0]["score"] > found[1]["score"]
