"""`POST /v1/rerank` on the real service with the overlap scorer: order, evidence, bounds."""

import socket
import subprocess
import sys
import time
from typing import Any

import httpx
import pytest

PASSAGES = [
    "Bananas are yellow when they are ripe.",
    "Norway has many fjords and a long coast.",
    "The coastline of Norway, islands included, is 100,915 km long.",
    "Sweden's capital is Stockholm.",
]
QUERY = "How long is the coastline of Norway?"


def rerank(client: httpx.Client, **body: Any) -> dict[str, Any]:
    answer = client.post("/v1/rerank", json={"query": QUERY, "documents": PASSAGES, **body})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_the_passage_that_answers_comes_first(reranker: httpx.Client) -> None:
    answer = rerank(reranker)
    assert [result["index"] for result in answer["results"]][:2] == [2, 1]
    scores = [result["relevance_score"] for result in answer["results"]]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)
    assert answer["model"] == "overlap"


def test_top_n_and_documents(reranker: httpx.Client) -> None:
    answer = rerank(reranker, top_n=1, return_documents=True)
    assert [result["document"] for result in answer["results"]] == [{"text": PASSAGES[2]}]


def test_evidence_falls_when_the_answer_is_taken_away(reranker: httpx.Client) -> None:
    there = rerank(reranker)["evidence"]
    away = rerank(reranker, documents=[PASSAGES[0], PASSAGES[3], "Tides rise twice a day."])["evidence"]
    assert away < 0.25 < there


def test_a_question_about_something_unnamed_has_little_evidence(reranker: httpx.Client) -> None:
    about_another = rerank(reranker, query="How long is the coastline of Portugal?")["evidence"]
    assert about_another < rerank(reranker)["evidence"] - 0.2


def test_a_query_of_function_words_has_no_evidence(reranker: httpx.Client) -> None:
    assert rerank(reranker, query="what is it?")["evidence"] == 0


def test_empty_and_odd_documents_are_scored(reranker: httpx.Client) -> None:
    answer = rerank(reranker, documents=["", "\x00\ufffd", "コーヒー", "a" * 65536, PASSAGES[2]])
    assert answer["results"][0]["index"] == 4
    assert len(answer["results"]) == 5


@pytest.mark.parametrize(
    "body",
    [
        {"documents": []},
        {"documents": ["x"] * 257},
        {"documents": ["x" * 65537]},
        {"query": ""},
        {"query": "x" * 20000},
        {"top_n": 0},
        {"surprise": 1},
    ],
)
def test_bad_calls_are_refused_and_the_service_lives(reranker: httpx.Client, body: dict[str, Any]) -> None:
    answer = reranker.post("/v1/rerank", json={"query": QUERY, "documents": PASSAGES, **body})
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert reranker.get("/readyz").status_code == 200


def test_what_was_scored_is_counted(reranker: httpx.Client) -> None:
    def pairs() -> float:
        lines = reranker.get("/metrics").text.splitlines()
        return float(next(line.split()[1] for line in lines if line.startswith("slipway_rerank_pairs_total")))

    before = pairs()
    rerank(reranker)
    assert pairs() == before + len(PASSAGES)


def test_an_expired_deadline_is_a_504(reranker: httpx.Client) -> None:
    documents = ["word " * 13000] * 256
    answer = reranker.post("/v1/rerank", json={"query": QUERY, "documents": documents[:20]}, headers={"x-slipway-deadline-ms": "1"})
    assert answer.status_code == 504
    assert answer.json()["error"]["code"] == "deadline_exceeded"


def test_the_process_starts_serves_and_ends_on_sigterm() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    with subprocess.Popen([sys.executable, "-m", "slipway_reranker", "--port", str(port)], stderr=subprocess.DEVNULL) as process:
        try:
            until = time.monotonic() + 30
            while not _ready(address):
                assert process.poll() is None and time.monotonic() < until
                time.sleep(0.05)
            with httpx.Client(base_url=address) as client:
                assert rerank(client)["results"][0]["index"] == 2
            process.terminate()
            assert process.wait(timeout=15) == 0
        finally:
            process.kill()


def _ready(address: str) -> bool:
    try:
        return httpx.get(f"{address}/readyz").status_code == 200
    except httpx.TransportError:
        return False
