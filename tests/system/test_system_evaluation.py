"""`make eval-rag` against the running platform: a store is made, questions are asked of it and of one without the answers, the report is written, all is cleared away."""

import json
from pathlib import Path
from typing import Any

import pytest
from slipway_retriever.evaluate import beir, rag
from slipway_retriever.evaluate.beir import Doc

pytestmark = [pytest.mark.system, pytest.mark.timeout(400)]

DOCS = [
    Doc("d0", "Heron", "The grey heron stands in shallow water. It eats fish and frogs. A grey heron weighs about 1,500 grams."),
    Doc("d1", "Lighthouse", "The lighthouse of Norrvik was built in 1874. Its lamp is seen from 19 miles away."),
    Doc("d2", "Bakery", "The bakery in the harbour opens at six o'clock. On Sundays it stays closed."),
]
QUERIES = {"q0": "When was the lighthouse of Norrvik built?", "q1": "What does the grey heron eat?"}


def test_questions_are_asked_with_and_without_their_answers(platform: Any, tmp_path: Path) -> None:
    folder = tmp_path / "birds"
    beir.write(folder, DOCS, QUERIES, {"q0": {"d1": 1}, "q1": {"d0": 1}})
    beir.write_answers(folder, {"q0": ["1874"], "q1": ["fish and frogs"]})
    stores = _stores(platform)
    command = [str(folder), "--url", f"{platform.base_url}/v1", "--key", platform.key, "--sweep", "--out", str(tmp_path / "out")]
    assert rag.main(command) == 0
    rows = [json.loads(line) for line in (tmp_path / "out" / "asked.jsonl").read_text(encoding="utf-8").splitlines()]
    asked, tried = [row for row in rows if "rank" in row], [row for row in rows if "evidence" in row]
    assert [row["rank"] for row in asked] == [1, 1]
    assert [(row["query"], row["answerable"]) for row in tried] == [(text, able) for text in QUERIES.values() for able in (True, False)]
    with_answer, without = ([row["evidence"] for row in tried if row["answerable"] is able] for able in (True, False))
    assert min(with_answer) > max(without)
    text = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    for heading in ("Answers, citations, misses", "Slices of birds", "With a limit on time", "Least evidence"):
        assert f"## {heading}" in text
    assert _stores(platform) == stores


def _stores(platform: Any) -> list[str]:
    with platform.client() as client:
        return sorted(store["id"] for store in client.get("/v1/vector_stores").raise_for_status().json()["data"])
