"""Test sets made from a data folder of our own that has the open one's form: sets that nothing was fitted on, and long documents."""

import json
from pathlib import Path
from typing import Any

import pytest
from slipway_retriever.evaluate import beir, devsets, sections, unseen

WORDS = " ".join(["The heron stands in shallow water and waits for fish to come near."] * 3)
BOOK = f"""# Waders

{WORDS}

Critical Thinking Questions

Why does a heron stand so still all day?

Fish flee from whatever moves above them, so it waits.

stilt: a wader with very long legs

# Tides

The tide turns twice a day, and waders follow it.

# Deserts

No wader lives here.
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    def lines(path: str, rows: list[dict[str, Any]]) -> None:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")

    table = "| bird | weight |\n| heron | 1500 |"
    lines(
        "bipia_injection/table__train.jsonl",
        [
            {"question": "how heavy is a heron?", "context": table, "ideal": "1500|1.5 kg"},
            {"question": "which bird is first?", "context": table, "ideal": "heron"},
            {"question": "which bird is first?", "context": "| bird |\n| stork |", "ideal": "stork"},
        ],
    )
    lines("mbpp/mbpp_dev.jsonl", [{"text": "Write a function to add.", "code": "def add(a, b):\r\n    return a + b"}])
    (tmp_path / "openstax_text").mkdir()
    (tmp_path / "openstax_text" / "birds.txt").write_text(BOOK, encoding="utf-8")
    return tmp_path


def test_sets_that_nothing_was_fitted_on(data: Path, tmp_path: Path) -> None:
    tables, programs = unseen.build(data, tmp_path / "unseen")
    read = beir.read(tables)
    assert list(read.queries.values()) == ["how heavy is a heron?"]  # the other is answered by two tables, and says not by which
    assert len(read.corpus) == 2
    assert beir.answers(tables) == {"q0": ["1500|1.5 kg", "1500", "1.5 kg"]}
    assert beir.read(programs).corpus[0].text == "def add(a, b):\n    return a + b"
    assert not (programs / "answers.jsonl").exists()


def test_long_documents_are_the_sections_asked_about_and_the_one_after_each(data: Path, tmp_path: Path) -> None:
    [exercises] = devsets.build(data, tmp_path / "sets")
    assert beir.answers(exercises) == {"q0": ["Fish flee from whatever moves above them, so it waits."]}
    made = sections.build(data, [exercises], tmp_path / "sections")
    assert made is not None
    test = beir.read(made)
    assert [doc.title for doc in test.corpus] == ["Waders", "Tides"]
    assert test.relevant == {"exercises-q0": {test.corpus[0].id: 1}}
    assert "so still" not in test.corpus[0].text
    assert "stilt:" not in test.corpus[0].text
    assert sections.build(data, [], tmp_path / "none") is None
