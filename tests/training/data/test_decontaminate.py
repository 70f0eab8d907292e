import json
from collections.abc import Callable
from pathlib import Path

import pytest
from slipway_training.data.decontaminate import Decontaminator
from slipway_training.data.document import Document, Tally
from slipway_training.data.mixture import Decontaminate, Reading

Prose = Callable[..., str]
LONG = "In which year did the committee of the northern harbour measure the height of the seventh tower for the last time"
MIDDLE = "Who wrote about the price of copper in spring?"


def kept(gate: Decontaminator, *texts: str) -> tuple[list[int], Tally]:
    tally = Tally()
    return [d.number for d in gate.keep((Document(t, "s", i) for i, t in enumerate(texts)), tally)], tally


def test_a_document_with_a_run_of_an_item_goes_whatever_its_punctuation(write_prose: Prose) -> None:
    gate = Decontaminator(13, {"quiz": [LONG, MIDDLE]})
    quoted = f"{write_prose(1)} {LONG.upper().replace(' ', ', ')}!"
    part = f"{write_prose(2)} {' '.join(LONG.split()[4:17])} {write_prose(3)}"
    short_part = f"{write_prose(2)} {' '.join(LONG.split()[4:16])} {write_prose(3)}"
    numbers, tally = kept(gate, write_prose(4), quoted, part, short_part)
    assert numbers == [0, 3]
    assert tally.dropped == {"eval_quiz": 2}
    assert gate.counts["quiz"].as_dict() == {"items": 2, "unchecked": 0, "items_found": 1, "documents_removed": 2}


def test_an_item_shorter_than_a_run_is_looked_for_whole(write_prose: Prose) -> None:
    gate = Decontaminator(13, {"quiz": [MIDDLE, "What is it?"]})
    assert kept(gate, f"{write_prose(1)} who wrote about the price of copper in spring {write_prose(2)}")[0] == []
    assert kept(gate, f"{write_prose(1)} wrote about the price of copper in spring. What is it? {write_prose(2)}")[0] == [0]
    assert gate.counts["quiz"].unchecked == 1


def test_each_evaluation_has_its_own_count(write_prose: Prose) -> None:
    gate = Decontaminator(13, {"a": [LONG], "b": [MIDDLE]})
    numbers, tally = kept(gate, f"{LONG} {write_prose(1)} {MIDDLE}", LONG, write_prose(1))
    assert numbers == [2]
    assert tally.dropped == {"eval_a": 2, "eval_b": 1}


def test_evaluations_are_read_like_sources(tmp_path: Path) -> None:
    path = tmp_path / "quiz.jsonl"
    path.write_text(json.dumps({"question": LONG, "answer": "1903"}) + "\n", encoding="utf-8")
    config = Decontaminate(evals=(Reading(name="quiz", url=str(path), text="question"),))
    assert kept(Decontaminator.of(config), LONG, "nothing of it")[0] == [1]


@pytest.mark.parametrize("words", [8, 20])
def test_the_length_of_a_run_is_settable(words: int) -> None:
    gate = Decontaminator(words, {"quiz": [LONG]})
    assert kept(gate, " ".join(LONG.split()[:words]))[0] == []
    assert kept(gate, " ".join(LONG.split()[: words - 1]))[0] == [0]
