"""A BEIR-style folder: corpus.jsonl, queries.jsonl and qrels/*.tsv (Thakur et al. 2021). It refuses to know how anything is searched."""

import csv
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class SetMissing(Exception):
    """The folder is not there, or not of this form."""


@dataclass(frozen=True, slots=True)
class Doc:
    """One document of the corpus."""

    id: str
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class TestSet:
    """`relevant` maps a query's id to graded documents; only queries that have any are asked."""

    name: str
    corpus: tuple[Doc, ...]
    queries: Mapping[str, str]
    relevant: Mapping[str, Mapping[str, int]]


def read(folder: Path, split: str = "test", *, max_queries: int | None = None) -> TestSet:
    """Read `folder`; raises SetMissing that names the file."""
    corpus = tuple(Doc(str(r["_id"]), str(r.get("title") or ""), str(r["text"])) for r in _lines(folder / "corpus.jsonl"))
    texts = {str(r["_id"]): str(r["text"]) for r in _lines(folder / "queries.jsonl")}
    relevant: dict[str, dict[str, int]] = {}
    path = folder / "qrels" / f"{split}.tsv"
    if not path.is_file():
        raise SetMissing(f"{path} is missing")
    with path.open(encoding="utf-8", newline="") as file:
        for row in list(csv.reader(file, delimiter="\t"))[1:]:
            if int(row[2]) > 0:
                relevant.setdefault(row[0], {})[row[1]] = int(row[2])
    asked = {query: texts[query] for query in list(relevant)[:max_queries]}
    return TestSet(folder.name, corpus, asked, {query: relevant[query] for query in asked})


def write(folder: Path, corpus: Iterable[Doc], queries: Mapping[str, str], relevant: Mapping[str, Mapping[str, int]]) -> None:
    """Write a test set in the form that `read` takes."""
    (folder / "qrels").mkdir(parents=True, exist_ok=True)
    _write_lines(folder / "corpus.jsonl", ({"_id": d.id, "title": d.title, "text": d.text} for d in corpus))
    _write_lines(folder / "queries.jsonl", ({"_id": key, "text": text} for key, text in queries.items()))
    rows = [f"{query}\t{doc}\t{grade}" for query, docs in relevant.items() for doc, grade in docs.items()]
    (folder / "qrels" / "test.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *rows, ""]), encoding="utf-8")


def answers(folder: Path) -> dict[str, list[str]]:
    """Of answers.jsonl, by query; raises SetMissing where it is not there."""
    return {str(row["_id"]): list(row["answers"]) for row in _lines(folder / "answers.jsonl")}


def write_answers(folder: Path, found: Mapping[str, Iterable[str]]) -> None:
    """Write what `answers` reads."""
    _write_lines(folder / "answers.jsonl", ({"_id": query, "answers": list(texts)} for query, texts in found.items()))


def _lines(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        raise SetMissing(f"{path} is missing")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]


def _write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
