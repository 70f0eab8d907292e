"""`python -m slipway_retriever.benchmark`: embeddings, vector search and word search beside their alternatives, those that are installed."""

import argparse
import importlib.util
import itertools
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from slipway_retriever.benchmark.rounds import Work, measure, table
from slipway_retriever.embed.model_folder import locate
from slipway_retriever.embed.onnx_embedder import OnnxEmbedder
from slipway_retriever.index.adaptive import AdaptiveIndex
from slipway_retriever.index.bm25 import Bm25Index
from slipway_retriever.index.exact import ExactIndex
from slipway_retriever.settings import RetrieverSettings

WORDS = "heron plover stork dune reed tide moon salt river bridge silver coin harbour lantern glacier orchard anvil meadow canyon violin turbine".split()
TEXT_WORDS = 16
VECTORS, DIMENSIONS, CENTRES = 100_000, 384, 1000
PASSAGES = 20_000


def main(argv: Sequence[str] | None = None) -> int:
    """Print one table per part: best, median and quartiles over interleaved rounds."""
    parser = argparse.ArgumentParser(prog="slipway_retriever.benchmark", description=(main.__doc__ or "").strip())
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--cache", type=Path, default=Path(".slipway/eval-retrieval/cache"), help="where converted models are")
    wanted = parser.parse_args(argv)
    for size in (1, 32):
        speeds = measure(_embedders(wanted.cache, size), rounds=wanted.rounds)
        sys.stdout.write(f"{table(f'embeddings, batch {size}, one thread', 'texts/s', speeds)}\n\n")
    vectors, title = _vector_searches()
    sys.stdout.write(f"{table(title, 'queries/s', measure(vectors, rounds=wanted.rounds))}\n\n")
    sys.stdout.write(f"{table(f'BM25 over {PASSAGES:,} passages', 'queries/s', measure(_word_searches(), rounds=wanted.rounds))}\n")
    return 0


def _texts(count: int, words: int, seed: int = 3) -> list[str]:
    rng = np.random.default_rng(seed)
    return [" ".join(f"{WORDS[i % len(WORDS)]}{'' if i < 60 else i}" for i in rng.zipf(1.3, words) % 5000) for _ in range(count)]


def _embedders(cache: Path, size: int) -> dict[str, Work]:
    folder = locate(RetrieverSettings())
    rng = np.random.default_rng(4)
    texts = [" ".join(WORDS[i] for i in rng.integers(0, len(WORDS), TEXT_WORDS)) for _ in range(size)]
    out: dict[str, Work] = {}
    for precision in ("int8", "fp32"):
        ours = OnnxEmbedder(folder, precision, cache, 1)
        out[f"ours, {precision}"] = lambda ours=ours: len(ours.embed(ours.tokenize(texts)))
    if importlib.util.find_spec("torch") and importlib.util.find_spec("transformers"):
        out["torch fp32 (transformers)"] = _torch(folder.path, texts)
    return out


def _torch(path: Path, texts: list[str]) -> Work:
    torch: Any = importlib.import_module("torch")
    transformers: Any = importlib.import_module("transformers")
    torch.set_num_threads(1)
    tokenizer, model = transformers.AutoTokenizer.from_pretrained(path), transformers.AutoModel.from_pretrained(path).eval()

    def work() -> int:
        with torch.inference_mode():
            batch = tokenizer(texts, padding=True, truncation=True, max_length=256, return_tensors="pt")
            hidden, mask = model(**batch).last_hidden_state, batch["attention_mask"].unsqueeze(-1)
            torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=1).numpy()
        return len(texts)

    return work


def _vector_searches() -> tuple[dict[str, Work], str]:
    rng = np.random.default_rng(5)
    centres = rng.standard_normal((CENTRES, DIMENSIONS)).astype(np.float32)

    def made(count: int) -> Any:
        raw = centres[rng.integers(0, CENTRES, count)] + 0.7 * rng.standard_normal((count, DIMENSIONS)).astype(np.float32)
        return raw / np.linalg.norm(raw, axis=1, keepdims=True)

    vectors, queries = made(VECTORS), made(256)
    ours, flat = AdaptiveIndex(DIMENSIONS, 20_000), ExactIndex(DIMENSIONS)
    for index in (ours, flat):
        index.add(np.arange(VECTORS, dtype=np.int64), vectors)
    shared = [len(set(ours.search(q, 10)[0].tolist()) & set(flat.search(q, 10)[0].tolist())) for q in queries]
    title = f"nearest of {VECTORS:,} x {DIMENSIONS}, recall@10 {np.mean(shared) / 10:.3f}"
    return {"ours": _each(ours.search, queries), "faiss Flat": _each(flat.search, queries)}, title


def _each(search: Callable[[Any, int], object], queries: Sequence[Any]) -> Work:
    turn = itertools.cycle(queries)

    def work() -> int:
        search(next(turn), 10)
        return 1

    return work


def _word_searches() -> dict[str, Work]:
    passages, queries = _texts(PASSAGES, 80), _texts(64, 5, seed=6)
    ours = Bm25Index()
    ours.add(np.arange(PASSAGES, dtype=np.int64), passages)
    out = {"ours": _each(ours.search, queries)}
    if importlib.util.find_spec("bm25s"):
        bm25s: Any = importlib.import_module("bm25s")
        retriever = bm25s.BM25()
        retriever.index(bm25s.tokenize(passages, show_progress=False), show_progress=False)
        tokens = [bm25s.tokenize(query, show_progress=False) for query in queries]
        out["bm25s, queries tokenized before"] = _each(lambda t, k: retriever.retrieve(t, k=k, show_progress=False), tokens)
    if importlib.util.find_spec("rank_bm25"):
        rank_bm25: Any = importlib.import_module("rank_bm25")
        slow = rank_bm25.BM25Okapi([passage.split() for passage in passages])
        out["rank-bm25"] = _each(lambda query, k: np.argsort(slow.get_scores(query.split()))[-k:], queries)
    return out


if __name__ == "__main__":
    sys.exit(main())
