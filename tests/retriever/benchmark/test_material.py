"""What the benchmark is fed with: real lists from the sets in turn, their passages as files, and made-up ones."""

import json
from pathlib import Path

import pytest
from slipway_retriever.benchmark import material


def row(name: str, number: int, **other: object) -> dict[str, object]:
    documents = [f"{name} {number} passage {i}" for i in range(3)]
    return {"set": name, "query": f"{name} {number}", "documents": documents, "answerable": True, "scores": [0.9, 0.5, 0.1], **other}


def written(folder: Path, *rows: dict[str, object]) -> Path:
    file = folder / "pairs.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    return file


def test_lists_are_taken_from_the_sets_in_turn(tmp_path: Path) -> None:
    file = written(tmp_path, *(row("a", i) for i in range(4)), row("b", 0), row("b", 1, answerable=False), row("b", 2, documents=["short"]))
    found = material.read(file, 3, count=3)
    assert [one.query for one in found.lists] == ["a 0", "b 0", "a 1"]
    assert found.questions == ("a 0", "b 0", "a 1")
    assert found.lists[1].scores == (0.9, 0.5, 0.1)
    assert len(found.files) == 2  # nine passages, eight to a file
    assert "b 0 passage 2" in "".join(found.files)
    assert found.title == "3 lists of a, b"


def test_a_file_without_such_lists_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="no answerable list of 20 passages"):
        material.read(written(tmp_path, row("a", 0)), 20)


def test_made_up_texts_are_the_same_at_every_run() -> None:
    found = material.made_up(20)
    assert found == material.made_up(20)
    assert len(found.lists[0].documents) == 20
    assert len(set(found.questions)) == len(found.questions) == 60
