"""What is measured with: made-up texts, or lists of a development set as `python -m slipway_retriever.evaluate --pairs FILE` writes them.

Made-up words are the same everywhere, but no passage of them stands out, so a reranker that stops early never does. It refuses to know who is measured.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from slipway_retriever.benchmark import made

SECTIONS = 8


@dataclass(frozen=True, slots=True)
class List:
    """A question and the passages that retrieval found for it, best first; `scores` are retrieval's, in [0, 1], empty where nobody searched."""

    query: str
    documents: tuple[str, ...]
    scores: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Material:
    """Lists to rerank, Markdown files to ingest, and questions about them."""

    title: str
    lists: tuple[List, ...]
    files: tuple[str, ...]
    questions: tuple[str, ...]


def made_up(length: int) -> Material:
    """One list of `length` passages, 60 files, 60 questions."""
    one = List(made.question(), tuple(made.passages(length)))
    return Material("made-up words", (one,), tuple(made.documents(60)), tuple(made.questions(60)))


def read(path: Path, length: int, count: int = 60) -> Material:
    """The first `count` answerable lists of exactly `length` passages, taken from the sets in turn; raises SystemExit where there are none.

    The files are their passages, SECTIONS to a file.
    """
    by_set: dict[str, dict[str, List]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if row["answerable"] and len(row["documents"]) == length:
            by_set.setdefault(row["set"], {})[row["query"]] = List(row["query"], tuple(row["documents"]), tuple(row.get("scores", ())))
    found = _in_turn([list(lists.values()) for lists in by_set.values()])[:count]
    if not found:
        raise SystemExit(
            f"{path} holds no answerable list of {length} passages; write it with: python -m slipway_retriever.evaluate --pairs"
        )
    passages = list(dict.fromkeys(text for one in found for text in one.documents))
    files = [_file(passages[start : start + SECTIONS], start // SECTIONS) for start in range(0, len(passages), SECTIONS)]
    return Material(f"{len(found)} lists of {', '.join(by_set)}", tuple(found), tuple(files), tuple(one.query for one in found))


def _in_turn(groups: Sequence[list[List]]) -> list[List]:
    longest = max((len(group) for group in groups), default=0)
    return [group[place] for place in range(longest) for group in groups if place < len(group)]


def _file(passages: Sequence[str], number: int) -> str:
    return "\n\n".join([f"# Document {number}", *(f"## Part {n}\n\n{text}" for n, text in enumerate(passages))])
