"""Measures by hand, and the evaluation command on a small folder of its own."""

import json
import math
from pathlib import Path

import pytest
from slipway_retriever.evaluate import beir, measures
from slipway_retriever.evaluate.__main__ import main
from slipway_retriever.evaluate.beir import Doc


def test_ndcg_recall_and_mrr_by_hand() -> None:
    relevant = {"a": 1, "b": 2}
    best = 2 / math.log2(2) + 1 / math.log2(3)
    assert measures.ndcg(["b", "a"], relevant) == 1.0
    assert measures.ndcg(["x", "b"], relevant) == pytest.approx((2 / math.log2(3)) / best)
    assert measures.recall(["x", "b", "a"], relevant, 2) == 0.5
    assert measures.mrr(["x", "y", "a"], relevant) == pytest.approx(1 / 3)
    assert measures.mrr(["x"] * 10 + ["a"], relevant) == 0.0


def test_an_interval_holds_its_mean_and_shrinks_with_more_queries() -> None:
    few, many = measures.interval([0.0, 1.0] * 5), measures.interval([0.0, 1.0] * 500)
    assert few.low < few.mean == 0.5 < few.high
    assert many.high - many.low < (few.high - few.low) / 4


def test_calibration_error_by_hand() -> None:
    assert measures.expected_calibration_error([0.9, 0.9], [True, False]) == pytest.approx(0.4)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    docs = [Doc(f"d{i}", "", text) for i, text in enumerate(["the heron stands", "the plover runs", "a stork nests", "the tide turns"])]
    queries = {"q1": "heron standing", "q2": "storks nesting", "q3": "not judged"}
    beir.write(tmp_path / "birds", docs, queries, {"q1": {"d0": 1}, "q2": {"d2": 1, "d3": 0}})
    return tmp_path / "birds"


def test_a_written_set_is_read_back(folder: Path) -> None:
    test = beir.read(folder)
    assert (len(test.corpus), test.queries, test.relevant["q2"]) == (4, {"q1": "heron standing", "q2": "storks nesting"}, {"d2": 1})


def test_the_command_reports_every_way_of_searching(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pairs = tmp_path / "pairs.jsonl"
    assert main([str(folder), "--embedder", "hash", "--out", str(tmp_path / "out"), "--pairs", str(pairs)]) == 0
    printed = capsys.readouterr().out
    for way in ("dense", "bm25", "rank fusion", "hybrid"):
        assert f"| birds | {way} | 2 | 100.0 " in printed
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 2
    rows = [json.loads(line) for line in pairs.read_text(encoding="utf-8").splitlines()]
    assert [row["answerable"] for row in rows] == [True, False, True, False]
    for yes, no in zip(rows[::2], rows[1::2], strict=True):
        assert set(no["documents"]) < set(yes["documents"])


def test_passage_sizes_are_compared_by_whole_documents(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    long = "\n\n".join(f"Paragraph {i} speaks of the topic{i}x and of nothing else at all." for i in range(60))
    beir.write(tmp_path / "long", [Doc("d0", "", long), Doc("d1", "", "the heron stands")], {"q": "topic7x"}, {"q": {"d0": 1}})
    assert main([str(tmp_path / "long"), "--embedder", "hash", "--out", str(tmp_path / "out"), "--chunks", "32", "64"]) == 0
    printed = capsys.readouterr().out
    for name in ("long", "long at 32", "long at 64"):
        assert f"| {name} | bm25 | 1 | 100.0 " in printed


def test_a_missing_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path), "--embedder", "hash", "--out", str(tmp_path / "out")]) == 2
    assert "corpus.jsonl is missing" in capsys.readouterr().err
