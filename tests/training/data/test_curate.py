import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from slipway_training.data.curate import Curated, curate
from slipway_training.data.document import Document
from slipway_training.data.mixture import MixtureConfig
from slipway_training.data.progress import Bars
from slipway_training.data.spool import Spool
from slipway_training.errors import DataMissing

Prose = Callable[..., str]


def jsonl(path: Path, texts: list[str]) -> None:
    path.write_text("".join(json.dumps({"text": t}) + "\n" for t in texts), encoding="utf-8")


@pytest.fixture
def mixture(tmp_path: Path, write_prose: Prose) -> MixtureConfig:
    """Two sources: web repeats a book, breaks a rule and holds an evaluation question; each of them once."""
    jsonl(tmp_path / "books.jsonl", [write_prose(i) for i in range(12)])
    question = " ".join(write_prose(99, 2).split()[:20])
    bad = [write_prose(3), write_prose(4) + " Also this.", "too short", write_prose(50) + " " + question, write_prose(51) + " a@b.org"]
    jsonl(tmp_path / "web.jsonl", [*(write_prose(i) for i in range(100, 104)), *bad])
    jsonl(tmp_path / "quiz.jsonl", [question])
    return MixtureConfig.model_validate(
        {
            "sources": [
                {"name": "books", "url": str(tmp_path / "books.jsonl"), "licence": "CC0", "domain": "books"},
                {"name": "web", "url": str(tmp_path / "web.jsonl"), "licence": "MIT", "domain": "web"},
            ],
            "decontaminate": {"evals": [{"name": "quiz", "url": str(tmp_path / "quiz.jsonl")}]},
        }
    )


def run(mixture: MixtureConfig, folder: Path, workers: int = 1) -> Curated:
    with Bars(Console(quiet=True)) as bars:
        return curate(mixture, folder, bars, workers, parallel_from=0)


def documents(curated: Curated) -> dict[str, list[Document]]:
    return {name: list(spool.read()) for name, spool in curated.spools.items()}


def test_each_step_drops_what_it_should_and_says_so(tmp_path: Path, mixture: MixtureConfig) -> None:
    curated = run(mixture, tmp_path / "work")
    assert [d.number for d in documents(curated)["books"]] == list(range(12))
    assert [d.number for d in documents(curated)["web"]] == [0, 1, 2, 3, 8]
    counts = curated.counts["web"]
    assert counts["clean"]["dropped"] == {"min_words": 1} and counts["clean"]["changed"] == {"pii_email": 1}
    assert counts["evals"]["dropped"] == {"eval_quiz": 1} and counts["evals"]["read"] == 8
    assert counts["copies"]["dropped"] == {"exact_copy": 1, "near_copy": 1} and counts["copies"]["read"] == 7
    assert counts["copies"]["kept"] == 5
    assert curated.evals["quiz"] == {"items": 1, "unchecked": 0, "items_found": 1, "documents_removed": 1}
    assert curated.origins["web"].licence == "MIT" and len(curated.origins["web"].sha256) == 64


def test_workers_change_nothing(tmp_path: Path, mixture: MixtureConfig) -> None:
    one, two = run(mixture, tmp_path / "one"), run(mixture, tmp_path / "two", workers=2)
    assert documents(one) == documents(two)
    assert (one.counts, one.stamp) == (two.counts, two.stamp)


def test_finished_steps_are_not_done_again_and_changed_ones_are(tmp_path: Path, mixture: MixtureConfig, write_prose: Prose) -> None:
    folder = tmp_path / "work"
    run(mixture, folder)
    times = {f: f.stat().st_mtime_ns for f in sorted(folder.rglob("*.parquet"))}
    run(mixture, folder)
    assert {f: f.stat().st_mtime_ns for f in sorted(folder.rglob("*.parquet"))} == times
    jsonl(tmp_path / "web.jsonl", [write_prose(200)])
    again = run(mixture, folder)
    changed = {str(f.relative_to(folder)) for f, t in times.items() if f.stat().st_mtime_ns != t}
    assert changed == {"clean/web.parquet", "kept/web.parquet", "kept/books.parquet"}
    assert [d.number for d in documents(again)["web"]] == [0]


def test_an_interrupted_step_is_done_again(tmp_path: Path, mixture: MixtureConfig) -> None:
    folder = tmp_path / "work"
    whole = documents(run(mixture, folder))
    (folder / "kept" / "web.json").unlink()
    (folder / "clean" / "books.json").unlink()
    assert documents(run(mixture, folder)) == whole


def test_a_spool_counts_only_once_it_is_finished(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "s")
    rows = [Document(f"text {i}", "s", i * 3) for i in range(1200)]
    assert spool.write(rows) == 1200
    assert not spool.made_from("x")
    spool.finish("x", more=1)
    assert spool.made_from("x") and not spool.made_from("y")
    assert list(spool.read()) == rows and spool.note()["more"] == 1

    def breaking() -> Any:
        yield rows[0]
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        spool.write(breaking())
    assert not spool.made_from("x")


def test_a_missing_evaluation_stops_the_work(tmp_path: Path, mixture: MixtureConfig) -> None:
    (tmp_path / "quiz.jsonl").unlink()
    with pytest.raises(DataMissing, match="quiz"):
        run(mixture, tmp_path / "work")
