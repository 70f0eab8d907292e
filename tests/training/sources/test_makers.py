"""The smaller makers on self-made text: SQuAD rows, glossaries, cloze, quotes, lookup, provenance."""

import json
from pathlib import Path
from random import Random

import pytest
from slipway_training.errors import DataMissing
from slipway_training.rows import quoted
from slipway_training.sources.cloze import cloze_asks, prose_pages
from slipway_training.sources.frames import FRAMES
from slipway_training.sources.glossary import entries, glossary_pages
from slipway_training.sources.lookup import VALUES, lookup_pages
from slipway_training.sources.provenance import data_dir, invented, provenance
from slipway_training.sources.quote import quote_ask
from slipway_training.sources.squad import read_squad, squad_pages

PROSE = (
    "In 1923 Maria Oldenberg opened the first reading room of the harbour town of Vell. "
    "It held 412 books, and most of them were called sea rolls by the people of the town. "
    "The room was closed because the roof had been damaged by a storm, and it stayed closed for the whole winter."
)


def squad_file(folder: Path) -> Path:
    prompt = f"Extract.\n\nContext: {PROSE}\nQuestion: Who opened the room? Answer:"
    row = {
        "id": "1",
        "answers": {"text": ["Maria Oldenberg", "Oldenberg"], "answer_start": [8, 14]},
        "prompt": prompt,
        "completion": "Maria Oldenberg",
    }
    path = folder / "squad_train.jsonl"
    path.write_text(json.dumps(row) + "\n", encoding="utf-8")
    return path


def test_a_squad_prompt_is_taken_apart(tmp_path: Path) -> None:
    (row,) = read_squad(squad_file(tmp_path))
    assert (row.context, row.question) == (PROSE, "Who opened the room?")
    assert row.answers == ("Maria Oldenberg", "Oldenberg")
    (page,) = squad_pages(Random(1), [row])
    assert "Maria Oldenberg" in {a.answer for a in page.passages[0].asks}
    with pytest.raises(DataMissing):
        read_squad(tmp_path / "none.jsonl")


def test_glossary_lines_become_definitions() -> None:
    terms = (
        "allele: specific version of a gene",
        "gene: sequence of DNA that controls traits",
        "cell: smallest living unit of all",
        "bone: hard tissue",
    )
    text = (
        "Some prose.\n\n" + "\n\n".join((*terms[:3], "bone tissue: hard tissue of the skeleton")) + "\n\nNote: this\nA(n) ________ is one."
    )
    (run,) = entries(text)
    assert run[0] == ("allele", "specific version of a gene")
    pages = list(glossary_pages(Random(2), text))
    asks = [a for p in pages for q in p.passages for a in q.asks]
    assert {"specific version of a gene", "sequence of DNA that controls traits"} <= {a.answer for a in asks}


def test_cloze_answers_stand_in_the_text_and_not_in_the_question() -> None:
    asks = [a for seed in range(20) for a in cloze_asks(Random(seed), PROSE, 3)]
    assert {"1923", "412"} & {a.answer for a in asks}
    assert all(quoted(PROSE, a.answer, 1) and a.answer not in a.question and a.question.endswith("?") for a in asks)


def test_books_become_pages_of_neighbouring_passages() -> None:
    text = "\n\n".join([PROSE] * 6)
    pages = list(prose_pages(Random(1), f"# One\n{text}\n# Two\n{text}"))
    assert len(pages) == 2
    assert all(p.source == "openstax_text" and len(p.passages) >= 4 for p in pages)


def test_a_quote_is_a_whole_sentence() -> None:
    asks = [ask for seed in range(10) if (ask := quote_ask(Random(seed), PROSE))]
    assert len(asks) > 3
    assert all(ask.answer in PROSE for ask in asks)
    assert quote_ask(Random(3), "Too short") is None


def test_every_frame_can_be_filled() -> None:
    pages = list(lookup_pages(Random(9), 300))
    assert {f.value for f in FRAMES} <= set(VALUES)
    texts = " ".join(p.text for page in pages for p in page.passages)
    assert "{" not in texts
    assert sum(len(p.asks) for page in pages for p in page.passages) > 3000
    again = list(lookup_pages(Random(9), 300))
    assert pages == again


def test_provenance_is_read_from_the_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "SOURCE.txt").write_text("repository: example.org/x\ncommit: abc\nlicence: CC0\n", encoding="utf-8")
    found = provenance(tmp_path, "notes", ("training",))
    assert (found.repository, found.commit, found.licence) == ("example.org/x", "abc", "CC0")
    assert len(found.files_sha256) == 64
    assert invented("lookup").licence == "Apache-2.0"
    with pytest.raises(DataMissing):
        provenance(tmp_path, "nowhere", ("training",))
    monkeypatch.delenv("SLIPWAY_DATA_DIR", raising=False)
    with pytest.raises(DataMissing, match="SLIPWAY_DATA_DIR"):
        data_dir("")
    with pytest.raises(DataMissing, match="not a folder"):
        data_dir(str(tmp_path / "nowhere"))
