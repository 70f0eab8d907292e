"""Test sets from the open data folder that no weight, threshold or rule of ours was fitted on: what they say can be published.

tables: human questions over tables of encyclopedia articles (BIPIA's, from WikiTableQuestions). programs: tasks in words over the Python functions that solve them
(MBPP). errors: a traceback's end and the code that raised it, over answers of a forum (BIPIA). It refuses to be tuned on: whoever looks here to choose something
needs other sets to publish.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from slipway_retriever.evaluate import beir
from slipway_retriever.evaluate.beir import Doc


def build(data: Path, out: Path) -> list[Path]:
    """Write every set that `data` has the source for; answers their folders."""
    makers = {
        "tables": (_tables, data / "bipia_injection" / "table__train.jsonl"),
        "programs": (_programs, data / "mbpp" / "mbpp_dev.jsonl"),
        "errors": (_errors, data / "bipia_injection" / "code__train.jsonl"),
    }
    made: list[Path] = []
    for name, (make, path) in makers.items():
        if path.is_file():
            make([json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()], out / name)
            made.append(out / name)
    return made


def _tables(rows: list[dict[str, Any]], out: Path) -> None:
    _write(out, [(row["question"], row["context"], row["ideal"]) for row in rows])


def _programs(rows: list[dict[str, Any]], out: Path) -> None:
    _write(out, [(row["text"], row["code"].replace("\r\n", "\n"), "") for row in rows])


def _errors(rows: list[dict[str, Any]], out: Path) -> None:
    asked = [
        ("\n".join([*row["code"], *[line for line in row["error"] if line.strip()][-1:]]), "\n".join(row["context"]), "") for row in rows
    ]
    _write(out, asked)


def _write(out: Path, rows: list[tuple[str, str, str]]) -> None:
    """Rows of question, passage, answer (empty: none on record); equal passages are one, equal questions of several passages are left out."""
    seen: dict[str, set[str]] = {}
    for question, passage, _ in rows:
        seen.setdefault(question.strip(), set()).add(passage)
    docs = {passage: Doc(f"d{number}", "", passage.strip()) for number, passage in enumerate(dict.fromkeys(p for _, p, _ in rows))}
    queries: dict[str, str] = {}
    relevant: dict[str, Mapping[str, int]] = {}
    truths: dict[str, list[str]] = {}
    for question, passage, answer in rows:
        if len(seen[question.strip()]) == 1:
            name = f"q{len(queries)}"
            queries[name], relevant[name] = question.strip(), {docs[passage].id: 1}
            if answer:
                truths[name] = [answer, *answer.split("|")]
    beir.write(out, docs.values(), queries, relevant)
    if truths:
        beir.write_answers(out, truths)
