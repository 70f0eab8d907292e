"""`python -m slipway_retriever.evaluate.rag FOLDER ... --url http://127.0.0.1:8080/v1 --key KEY`: questions through the whole platform, by its public API.

A FOLDER is BEIR-style and holds answers.jsonl ({"_id": query, "answers": [...]}). Every document becomes a file of a new store; each question is searched for and
asked there, and asked once more of a second store that lacks every document that answers: whoever still answers makes it up. It refuses to know a service's inside.
"""

import argparse
import bisect
import json
import os
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from slipway_retriever.evaluate import answers, api, beir, operating, rag_report
from slipway_retriever.evaluate.answers import Asked
from slipway_retriever.evaluate.api import Platform, noted
from slipway_retriever.evaluate.beir import Doc, SetMissing, TestSet
from slipway_retriever.evaluate.operating import RIGHT_F1, Tried

AS_IT_IS = "as it is"


@dataclass(frozen=True, slots=True)
class Question:
    """One question with its answers on record, the files that answer, and the two stores that it is asked of (the second holds none of those files)."""

    set: str
    text: str
    truths: tuple[str, ...]
    right: frozenset[str]
    whole: str
    without: str


def main(argv: Sequence[str] | None = None) -> int:
    """Ingest, ask, report."""
    wanted = _arguments(argv)
    try:
        tests = [(beir.read(folder, max_queries=wanted.queries), beir.answers(folder)) for folder in wanted.folders]
    except SetMissing as error:
        sys.stderr.write(f"evaluate.rag: {error}\n")
        return 2
    addresses = {AS_IT_IS: wanted.url, **dict(point.split("=", 1) for point in wanted.point)}
    model = wanted.model or api.first_model(wanted.url, wanted.key, wanted.seconds)
    platforms = {name: Platform(url, wanted.key, model, wanted.seconds) for name, url in addresses.items()}
    asked: dict[str, list[Asked]] = {}
    tried: dict[str, list[Tried]] = {name: [] for name in platforms}
    wanted.out.mkdir(parents=True, exist_ok=True)
    with (wanted.out / "asked.jsonl").open("w", encoding="utf-8") as file:
        for test, truths in tests:
            asked[test.name], more = run(platforms, test, truths, wanted.documents, wanted.top_k, sweep=wanted.sweep or bool(wanted.point))
            for name, rows in more.items():
                tried[name] += rows
            lines = [{"set": test.name, **asdict(one)} for one in asked[test.name]]
            lines += [{"point": name, **asdict(one)} for name, rows in more.items() for one in rows]
            file.write("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
            file.flush()
    points = operating.parts(tried, _pair(wanted.strong)) if any(tried.values()) else []
    rag_report.write(wanted.out, f"Answers through the API, k = {wanted.top_k}", asked, points)
    sys.stdout.write(f"{(wanted.out / 'report.md').read_text(encoding='utf-8')}\nreport: {wanted.out / 'report.html'}\n")
    return 0


def run(
    platforms: Mapping[str, Platform], test: TestSet, truths: Mapping[str, Sequence[str]], documents: int, k: int, *, sweep: bool
) -> tuple[list[Asked], dict[str, list[Tried]]]:
    """Every question that has an answer on record, put to the first platform as it is; with `sweep`, to all of them without any limit on evidence.

    All of them search the stores of the first.
    """
    right = {doc for held in test.relevant.values() for doc in held}
    chosen = nearest(test.corpus, right, max(documents, len(right)))
    first = next(iter(platforms.values()))
    asked: list[Asked] = []
    tried: dict[str, list[Tried]] = {name: [] for name in platforms}
    with api.stores(first, chosen, right) as (whole, without, files):
        for query in tqdm([query for query in test.queries if query in truths], f"asking {test.name}", unit="questions"):
            holding = frozenset(files[doc] for doc in test.relevant[query] if doc in files)
            question = Question(test.name, test.queries[query], tuple(truths[query]), holding, whole, without)
            asked.append(_asked(first, question, k))
            for store in (whole, without) if sweep else ():
                evidence = first.evidence(question.text, store, k)
                for name, platform in platforms.items():
                    tried[name].append(_tried(platform, question, store, k, evidence))
    return asked, tried


def nearest(corpus: Sequence[Doc], right: Collection[str], count: int) -> list[Doc]:
    """`count` documents: those that answer, and of the others those that stand nearest to one of them in the corpus, which are the likest."""
    places = [place for place, doc in enumerate(corpus) if doc.id in right]

    def distance(place: int) -> int:
        at = bisect.bisect_left(places, place)
        return min((abs(place - other) for other in places[max(0, at - 1) : at + 1]), default=0)

    order = sorted(range(len(corpus)), key=distance)[:count]
    return [corpus[place] for place in sorted(order)]


def _asked(platform: Platform, question: Question, k: int) -> Asked:
    message, milliseconds = platform.ask(question.text, question.whole, k)
    miss, _ = platform.ask(question.text, question.without, k)
    text = message["content"] or ""
    ranked = enumerate(platform.found(question.text, question.whole, k), start=1)
    return Asked(
        query=question.text,
        rank=next((rank for rank, file in ranked if file in question.right), None),
        abstained=bool(noted(message, "abstention")),
        exact=answers.exact(text, question.truths),
        f1=answers.f1(text, question.truths),
        cited_right=_cited_right(message, question.right),
        milliseconds=milliseconds,
        miss_answered=api.answered(miss),
        miss_quoted=bool(noted(miss, "fallback")),
        refused=bool(noted(message, "safety")),
    )


def _tried(platform: Platform, question: Question, store: str, k: int, evidence: float) -> Tried:
    message, _ = platform.ask(question.text, store, k, 0.0)
    answered = api.answered(message)
    found = answers.f1(message["content"] or "", question.truths) if answered else 0.0
    right = answered and (found >= RIGHT_F1 or (_cited_right(message, question.right) or 0.0) >= 0.5)
    return Tried(question.set, question.text, store == question.whole, evidence, answered, right, found)


def _cited_right(message: dict[str, Any], right: Collection[str]) -> float | None:
    cited = [note["file_id"] for note in noted(message, "file_citation")]
    return sum(file in right for file in cited) / len(cited) if cited else None


def _pair(names: str | None) -> tuple[str, str] | None:
    if not names:
        return None
    never, always = names.split(",", 1)
    return never, always


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="slipway_retriever.evaluate.rag", description=(main.__doc__ or "").strip())
    parser.add_argument("folders", nargs="+", type=Path, help="BEIR-style folders with answers.jsonl; `make eval-retrieval` makes four")
    parser.add_argument("--url", default="http://127.0.0.1:8080/v1")
    parser.add_argument(
        "--key", default=os.environ.get("SLIPWAY_KEY", ""), help="an API key, or SLIPWAY_KEY; `make up` writes .slipway/key"
    )
    parser.add_argument("--sweep", action="store_true", help="also ask without any limit on evidence, and tell what every limit would do")
    parser.add_argument(
        "--point",
        action="append",
        default=[],
        metavar="NAME=URL",
        help="another gateway before the same retriever, with other settings; means --sweep",
    )
    parser.add_argument(
        "--strong", metavar="NEVER,ALWAYS", help="two points, with SLIPWAY_GATEWAY_STRONG_EVIDENCE=1 and =0: sweeps what is between"
    )
    parser.add_argument("--model", help="default: the first of /v1/models")
    parser.add_argument("--queries", type=int, default=60, help="of each set")
    parser.add_argument("--documents", type=int, default=300, help="of each set: those that answer, then those that stand nearest to them")
    parser.add_argument("--top-k", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=60.0, help="a call that takes longer ends the run")
    parser.add_argument("--out", type=Path, default=Path(".slipway/eval-rag"))
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
