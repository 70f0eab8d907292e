"""`python -m slipway_retriever.evaluate.mine FOLDER ... --out LISTS.jsonl`: what our own searches rank highest for each query, right and wrong, with their scores.

A reranker is trained on these lists: the wrong passages that dense search and BM25 rank highest are the negatives worth learning from (Karpukhin et al. 2020).
It refuses to know how training uses them.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tqdm import tqdm

from slipway_retriever.app import load_embedder
from slipway_retriever.evaluate import beir
from slipway_retriever.evaluate.ranking import Corpus
from slipway_retriever.settings import RetrieverSettings


@dataclass(frozen=True, slots=True)
class Mined:
    """One query's list in the order of hybrid search. `dense` are cosines, `words` are BM25 shares (0 where BM25 did not return the passage).

    `found` says how many of the documents hybrid search returned; relevant ones that it missed follow.
    """

    set: str
    query: str
    documents: tuple[str, ...]
    relevant: tuple[int, ...]
    dense: tuple[float, ...]
    words: tuple[float, ...]
    found: int


def main(argv: Sequence[str] | None = None) -> int:
    """Write one JSON line per query."""
    parser = argparse.ArgumentParser(prog="slipway_retriever.evaluate.mine", description=(main.__doc__ or "").strip())
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--depth", type=int, default=20, help="passages of each list")
    parser.add_argument("--each", type=int, default=6, help="the first so many of dense search and of BM25 are in every list")
    parser.add_argument("--cache", type=Path, default=Path(".slipway/eval-retrieval"), help="where converted models and vectors are kept")
    wanted = parser.parse_args(argv)
    embedder = load_embedder(RetrieverSettings(cache_dir=wanted.cache / "cache"))
    with wanted.out.open("w", encoding="utf-8") as file:
        for folder in wanted.folders:
            corpus = Corpus(beir.read(folder), embedder, wanted.cache / "vectors")
            lists = mine(corpus, wanted.depth, wanted.each)
            for row in tqdm(lists, folder.name, total=len(corpus.test.queries), unit="queries"):
                file.write(json.dumps(asdict(row), ensure_ascii=False) + "\n")
    return 0


def mine(corpus: Corpus, depth: int, each: int) -> Iterator[Mined]:
    """The lists of all queries."""
    places = {doc.id: number for number, doc in enumerate(corpus.test.corpus)}
    for query, text in corpus.test.queries.items():
        right = {places[doc] for doc in corpus.test.relevant[query] if doc in places}
        scored = corpus.scored(text)
        firsts = [number for ranking in (scored.dense, scored.words) for number, _ in ranking[:each]]
        head = list(dict.fromkeys([*[number for number, _ in scored.blended[: depth - each]], *firsts]))[:depth]
        rank = {number: place for place, (number, _) in enumerate(scored.blended)}
        head.sort(key=lambda number: rank.get(number, len(rank)))
        numbers = [*head, *sorted(right.difference(head))]
        words = dict(scored.words)
        yield Mined(
            set=corpus.test.name,
            query=text,
            documents=tuple(corpus.text(number) for number in numbers),
            relevant=tuple(place for place, number in enumerate(numbers) if number in right),
            dense=tuple(round(float(value), 5) for value in corpus.cosines(scored.vector, numbers)),
            words=tuple(round(words.get(number, 0.0), 5) for number in numbers),
            found=len(head),
        )


if __name__ == "__main__":
    sys.exit(main())
