"""`python -m slipway_retriever.evaluate [FOLDER ...]`: how well search finds what is known to be relevant."""

import argparse
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from slipway_retriever.app import load_embedder
from slipway_retriever.embed.embedder import Embedder
from slipway_retriever.evaluate import beir, devsets, evidence, measures, report, sections, unseen
from slipway_retriever.evaluate.beir import SetMissing, TestSet
from slipway_retriever.evaluate.cut import cut, whole
from slipway_retriever.evaluate.ranking import Corpus, Rank, Reranker
from slipway_retriever.settings import RetrieverSettings

STRANGERS = 75
"""Questions of each other set that are asked of a corpus which cannot answer them."""


def main(argv: Sequence[str] | None = None) -> int:
    """Evaluate every folder given, or the development sets made from SLIPWAY_DATA_DIR; print a table and write a report."""
    wanted = _arguments(argv)
    out = Path(wanted.out)
    rerankers = dict(_named(address) for address in wanted.reranker)
    try:
        tests = [
            beir.read(Path(folder), max_queries=wanted.queries)
            for folder in wanted.folders or _made(out, long=bool(wanted.chunks), new=wanted.unseen)
        ]
    except SetMissing as error:
        sys.stderr.write(f"evaluate: {error}\n")
        return 2
    tests += [cut(test, tokens, RetrieverSettings().overlap_tokens) for tokens in wanted.chunks for test in tests]
    embedders = {precision: _embedder(wanted, out, precision) for precision in wanted.precision}
    rows: list[report.Row] = []
    pairs: list[evidence.Pair] = []
    for test in tests:
        for precision, embedder in embedders.items():
            corpus = Corpus(test, embedder, out / "vectors")
            mark = "" if precision == wanted.precision[0] else f", {precision}"
            rows += [_row(test, f"{name}{mark}", rank, corpus) for name, rank in _ways(corpus, rerankers, wanted.depth).items()]
            if wanted.pairs and not mark:
                strangers = [q for other in tests if other is not test for q in list(other.queries.values())[:STRANGERS]]
                pairs += evidence.pairs(corpus, strangers)
    names = ", ".join(f"{embedder.name} {precision}" for precision, embedder in embedders.items())
    notes = [f"Embedder {names}; intervals are 95 % bootstrap over queries."]
    report.write(out, "Retrieval", [report.Part("What was measured", notes), *report.searches(rows)])
    if wanted.pairs:
        Path(wanted.pairs).write_text("".join(json.dumps(pair.row()) + "\n" for pair in pairs), encoding="utf-8")
    sys.stdout.write(f"{report.markdown(report.cells(rows))}\n\n{report.markdown(report.gains(rows))}\n\nreport: {out / 'report.html'}\n")
    return 0


def _embedder(wanted: argparse.Namespace, out: Path, precision: str) -> Embedder:
    return load_embedder(
        RetrieverSettings(
            cache_dir=out / "cache",
            embedder=wanted.embedder,
            embedder_dir=wanted.embedder_dir,
            precision="fp32" if precision == "fp32" else "int8",
        )
    )


def _ways(corpus: Corpus, rerankers: Mapping[str, str], depth: int) -> dict[str, Rank]:
    ways: dict[str, Rank] = {"dense": corpus.dense, "bm25": corpus.bm25, "rank fusion": corpus.hybrid_by_rank, "hybrid": corpus.hybrid}
    return ways | {f"hybrid + {name}": Reranker(address, depth).over(corpus) for name, address in rerankers.items()}


def _named(address: str) -> tuple[str, str]:
    name, found, rest = address.partition("=")
    return (name, rest) if found else ("rerank", address)


def _row(test: TestSet, way: str, rank: Rank, corpus: Corpus) -> report.Row:
    started = time.perf_counter()
    # A document that was cut stands where its best passage stands.
    rankings = {
        query: list(dict.fromkeys(whole(corpus.test.corpus[number].id) for number in rank(text))) for query, text in test.queries.items()
    }
    seconds = time.perf_counter() - started
    values = {
        "nDCG@10": [measures.ndcg(rankings[q], relevant) for q, relevant in test.relevant.items()],
        "Recall@5": [measures.recall(rankings[q], relevant, 5) for q, relevant in test.relevant.items()],
        "Recall@20": [measures.recall(rankings[q], relevant, 20) for q, relevant in test.relevant.items()],
        "MRR@10": [measures.mrr(rankings[q], relevant) for q, relevant in test.relevant.items()],
    }
    each = 1000 * seconds / max(1, len(test.queries))
    return report.Row(test.name, way, len(test.queries), len(test.corpus), values, each)


def _made(out: Path, *, long: bool, new: bool) -> list[Path]:
    data = os.environ.get("SLIPWAY_DATA_DIR")
    if not data:
        raise SetMissing("name BEIR-style folders, or set SLIPWAY_DATA_DIR to the open data that development sets are made from")
    if new:
        return unseen.build(Path(data), out / "unseen")
    made = devsets.build(Path(data), out / "sets")
    whole = sections.build(Path(data), made, out / "sets" / "sections") if long else None
    return [*made, *([whole] if whole else [])]


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="slipway_retriever.evaluate", description=(main.__doc__ or "").strip())
    parser.add_argument("folders", nargs="*", help="BEIR-style folders: corpus.jsonl, queries.jsonl, qrels/test.tsv")
    parser.add_argument("--out", default=".slipway/eval-retrieval", help="where reports, vectors and made sets go")
    parser.add_argument("--queries", type=int, help="at most this many queries of each set")
    parser.add_argument("--embedder", default="minilm", choices=["minilm", "bge-small", "folder", "hash"])
    parser.add_argument("--embedder-dir", type=Path)
    parser.add_argument("--precision", nargs="+", default=["int8"], choices=["int8", "fp32"], help="of the embedder; two are compared")
    parser.add_argument(
        "--reranker",
        action="append",
        default=[],
        metavar="[NAME=]ADDRESS",
        help="a running reranker; adds the reranked rows, also of several, each by its name",
    )
    parser.add_argument("--depth", type=int, default=20, help="passages that the reranker reads")
    parser.add_argument(
        "--chunks",
        type=int,
        nargs="*",
        default=[],
        help="passage sizes in estimated tokens, compared with whole documents; adds a development set of long ones",
    )
    parser.add_argument("--unseen", action="store_true", help="instead of the development sets, those that nothing was fitted on")
    parser.add_argument("--pairs", help="write answerable and unanswerable passage lists here, for python -m slipway_reranker.calibrate")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
