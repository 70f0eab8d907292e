"""Passages and human questions of the SQuAD sample.

It knows how context, question and answer stand inside the sample's prompt. It refuses to know the difference between the two files beyond their name:
`squad_train.jsonl` is for training, `squad_validation.jsonl` only for evaluation.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

from slipway_training.errors import DataMissing
from slipway_training.rows import Ask, Page, Passage, usable
from slipway_training.sources.cloze import cloze_asks
from slipway_training.sources.text import chunks, sentences

SOURCE = "squad_sample"


@dataclass(frozen=True, slots=True)
class SquadRow:
    """One question over one context; `answers` are the accepted spans, the first being the one to quote."""

    context: str
    question: str
    answers: tuple[str, ...]


def read_squad(path: Path) -> list[SquadRow]:
    """The rows of one file; raises DataMissing when it is not there or not of this form."""
    if not path.is_file():
        raise DataMissing(f"{path} is missing")
    rows = [_row(json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    if not rows:
        raise DataMissing(f"{path} holds no rows")
    return rows


def _row(raw: dict[str, object]) -> SquadRow:
    prompt = str(raw["prompt"])
    context, rest = prompt.split("Context: ", 1)[1].rsplit("\nQuestion: ", 1)
    answers = raw["answers"]
    assert isinstance(answers, dict)
    texts = tuple(dict.fromkeys(str(t).strip() for t in answers["text"]))
    return SquadRow(context.strip(), rest.removesuffix("Answer:").strip(), texts)


def squad_pages(rng: Random, rows: list[SquadRow]) -> Iterator[Page]:
    """Pages of eight contexts. A context is whole, or the 40-120 words around the answer; cloze questions over the same text are added."""
    order = list(rows)
    rng.shuffle(order)
    for start in range(0, len(order), 8):
        yield Page(SOURCE, usable([_passage(rng, row) for row in order[start : start + 8]]))


def _passage(rng: Random, row: SquadRow) -> Passage:
    text = row.context
    if rng.random() < 0.6:
        pieces = chunks(sentences(text), low=25, high=rng.choice((50, 80, 110)))
        holding = [" ".join(p) for p in pieces if row.answers[0] in " ".join(p)]
        text = holding[0] if holding else text
    human = Ask(row.question, row.answers[0].strip(" ."))
    # The human question counts three times: there are only a few hundred of them.
    return Passage(text, (human, human, human, *cloze_asks(rng, text, 2)))
