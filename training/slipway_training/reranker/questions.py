"""`python -m slipway_training.reranker.questions --data FOLDER --held-out DEVSET ... --out FOLDER`: makes training sets from the open data folder.

Writes BEIR-style folders (corpus.jsonl, queries.jsonl, qrels/test.tsv), whose hard negatives our own search mines afterwards. Countries, textbook modules and
encyclopedia paragraphs that any held-out set asks about are left out. It refuses to know search and models.
"""

import argparse
import json
import random
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from slipway_training.reranker import factbook, textbooks

SEED = 23
COUNTRIES = 110
ASKED_PER_COUNTRY = 45


@dataclass(slots=True)
class Made:
    """A set in the making."""

    docs: list[tuple[str, str]] = field(default_factory=list)
    asked: list[tuple[str, list[int]]] = field(default_factory=list)

    def write(self, folder: Path) -> None:
        """In BEIR's layout; each query once."""
        (folder / "qrels").mkdir(parents=True, exist_ok=True)
        asked = list({query: held for query, held in self.asked if query.strip()}.items())
        _lines(folder / "corpus.jsonl", ({"_id": f"d{n}", "title": title, "text": text} for n, (title, text) in enumerate(self.docs)))
        _lines(folder / "queries.jsonl", ({"_id": f"q{n}", "text": query} for n, (query, _) in enumerate(asked)))
        rows = [f"q{n}\td{doc}\t1" for n, (_, held) in enumerate(asked) for doc in held]
        (folder / "qrels" / "test.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *rows, ""]), encoding="utf-8")
        sys.stdout.write(f"{folder.name}: {len(asked):,} questions over {len(self.docs):,} passages\n")


@dataclass(frozen=True, slots=True)
class HeldOut:
    """What no training question may be about: texts that answer a development question, all texts of development corpora, and their titles' first parts."""

    answers: frozenset[str]
    texts: frozenset[str]
    titles: frozenset[str]


def main(argv: Sequence[str] | None = None) -> int:
    """Write the four sets and print their sizes."""
    parser = argparse.ArgumentParser(prog="slipway_training.reranker.questions", description=(main.__doc__ or "").strip())
    parser.add_argument("--data", type=Path, required=True, help="the open data folder")
    parser.add_argument("--held-out", type=Path, nargs="+", required=True, help="BEIR-style folders that stay out of training")
    parser.add_argument("--out", type=Path, required=True)
    wanted = parser.parse_args(argv)
    held_out = read_held_out(wanted.held_out)
    for name, make in (("squad", squad), ("factbook", from_factbook), ("textbooks", from_textbooks), ("exercises", from_exercises)):
        make(wanted.data, held_out).write(wanted.out / f"train-{name}")
    return 0


def read_held_out(folders: Sequence[Path]) -> HeldOut:
    """From the corpora and judgements of `folders`."""
    answers: set[str] = set()
    texts: set[str] = set()
    titles: set[str] = set()
    for folder in folders:
        judged = {line.split("\t")[1] for line in (folder / "qrels" / "test.tsv").read_text(encoding="utf-8").splitlines()[1:]}
        for line in (folder / "corpus.jsonl").read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            texts.add(row["text"])
            titles.add(row["title"].split(" > ")[0])
            if row["_id"] in judged:
                answers.add(row["text"])
    return HeldOut(frozenset(answers), frozenset(texts), frozenset(titles - {""}))


def squad(data: Path, held_out: HeldOut) -> Made:
    """Human questions; two of every three paragraphs without a held-out question also give a sentence of theirs as a query."""
    made, places, rng = Made(), dict[str, int](), random.Random(SEED)
    for line in (data / "squad_sample" / "squad_train.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        context, rest = row["prompt"].split("Context: ", 1)[1].rsplit("\nQuestion: ", 1)
        if context.strip() in held_out.answers:
            continue
        number = places.setdefault(context.strip(), len(places))
        made.asked.append((rest.removesuffix("Answer:").strip(), [number]))
    module = textbooks.Module("", list(places))
    for number in range(len(places)):
        if rng.random() < 0.67 and (query := textbooks.taken(module, number, rng, keep=True)):
            made.asked.append((query, [number]))
    made.docs = [("", text) for text in module.paragraphs]
    return made


def from_factbook(data: Path, held_out: HeldOut) -> Made:
    """Questions about fields of countries that are not held out."""
    made, rng = Made(), random.Random(SEED)
    known = [(country, fields) for country, fields in factbook.countries(data) if country not in held_out.titles]
    for country, fields in rng.sample(known, min(COUNTRIES, len(known))):
        asked: list[tuple[str, list[int]]] = []
        for name, text in fields:
            asked += [(question, [len(made.docs)]) for question in factbook.questions(country, name, rng)]
            made.docs.append((f"{country} > {name}", text))
        made.asked += rng.sample(asked, min(ASKED_PER_COUNTRY, len(asked)))
    return made


def from_textbooks(data: Path, held_out: HeldOut) -> Made:
    """Questions about the modules of which no paragraph is in a held-out corpus."""
    made, rng = Made(), random.Random(SEED)
    for module in textbooks.modules(data):
        if held_out.texts.isdisjoint(module.paragraphs):
            first = len(made.docs)
            asked = textbooks.questions(module, rng)
            made.asked += [(query, [first + number for number in held]) for query, held in asked]
            made.docs += [("", text) for text in module.paragraphs]
    return made


def from_exercises(data: Path, held_out: HeldOut) -> Made:
    """The books' own exercises, over the paragraphs and printed answers of the modules that have any."""
    made = Made()
    for module in textbooks.modules(data):
        if module.exercises and held_out.texts.isdisjoint(module.paragraphs):
            first = len(made.docs)
            made.asked += [(question, [first + number for number in held]) for question, held in module.exercises]
            made.docs += [("", text) for text in module.paragraphs]
    return made


def _lines(path: Path, rows: Iterable[dict[str, str]]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
