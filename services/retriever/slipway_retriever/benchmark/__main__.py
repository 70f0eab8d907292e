"""`python -m slipway_retriever.benchmark`: embedding, reranking, search, ingestion and whole queries beside their alternatives, those that are installed."""

import argparse
import itertools
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from slipway_shared.encoding.choice import EngineName

from slipway_retriever.benchmark import made, material, peers, searches
from slipway_retriever.benchmark.material import Material
from slipway_retriever.benchmark.rounds import Contender, measure, table
from slipway_retriever.benchmark.services import Service, running
from slipway_retriever.embed.model_folder import locate
from slipway_retriever.embed.onnx_embedder import OnnxEmbedder, Precision
from slipway_retriever.settings import RetrieverSettings

PARTS = ("embed", "rerank", "search", "service")
LIST = 20
EMBEDDERS: tuple[tuple[Precision, EngineName], ...] = (("int8", "auto"), ("int8", "onnxruntime"), ("fp32", "onnxruntime"))
WARM_UP = 10
"""Questions whose times are not counted."""


def main(argv: Sequence[str] | None = None) -> int:
    """Print a table per part: processor and wall time per item over interleaved rounds."""
    parser = argparse.ArgumentParser(prog="slipway_retriever.benchmark", description=(main.__doc__ or "").strip())
    parser.add_argument("parts", nargs="*", default=PARTS, help=f"which of {', '.join(PARTS)}; all without any")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=0.5, help="of each contender in each round")
    parser.add_argument("--cache", type=Path, default=Path(".slipway/eval-retrieval/cache"), help="where converted models are")
    parser.add_argument("--scorer", default="overlap", help="SLIPWAY_RERANKER_SCORER of the reranker that is measured")
    parser.add_argument("--lists", type=Path, help="real lists instead of made-up words (FILE of slipway_retriever.evaluate --pairs FILE)")
    parser.add_argument("--infinity", type=Path, help="an environment with infinity-emb[torch], to compare with")
    wanted = parser.parse_args(argv)
    texts = material.read(wanted.lists, LIST) if wanted.lists else material.made_up(LIST)
    with tempfile.TemporaryDirectory() as scratch:
        peer = _infinity(wanted.infinity, Path(scratch))
        if "embed" in wanted.parts:
            for size in (1, 32):
                _show(wanted, f"embeddings, batch {size}, one thread", _embedders(wanted.cache, size, peer))
        if "rerank" in wanted.parts:
            with running("slipway_reranker", {"SLIPWAY_RERANKER_SCORER": wanted.scorer}) as service:
                title = f"pairs reranked, {LIST} passages a query, {texts.title}, one thread"
                _show(wanted, title, _rerankers(service, texts, Path(scratch), peer))
        if "search" in wanted.parts:
            vectors, title = searches.vectors()
            _show(wanted, title, vectors)
            _show(wanted, f"BM25 over {searches.PASSAGES:,} passages", searches.words())
        if "service" in wanted.parts:
            sys.stdout.write(f"{_service(wanted.scorer, wanted.cache, texts, Path(scratch))}\n")
        if peer is not None:
            peer.close()
    return 0


def _show(wanted: argparse.Namespace, title: str, contenders: dict[str, Contender]) -> None:
    sys.stdout.write(f"{table(title, measure(contenders, rounds=wanted.rounds, seconds=wanted.seconds))}\n\n")
    sys.stdout.flush()


def _infinity(venv: Path | None, scratch: Path) -> peers.Infinity | None:
    if venv is None:
        return None
    base = locate(RetrieverSettings()).path
    return peers.Infinity(venv, base, peers.make_cross_encoder(base, scratch / "cross-encoder"))


def _embedders(cache: Path, size: int, infinity: peers.Infinity | None) -> dict[str, Contender]:
    folder, texts = locate(RetrieverSettings()), made.sentences(size)
    out: dict[str, Contender] = {}
    for precision, engine in EMBEDDERS:
        ours = OnnxEmbedder(folder, precision, cache, 1, engine)
        name = f"ours, {ours.choice.engine}, {precision} weights{' in bf16' if ours.choice.bf16 else ''}"
        out.setdefault(name, Contender(lambda ours=ours: len(ours.embed(ours.tokenize(texts)))))
    if (torch := peers.sentence_encoder(folder.path, texts)) is not None:
        out["sentence-transformers, fp32"] = torch
    if infinity is not None:
        out["infinity (torch), fp32"] = infinity.contender({"texts": texts})
    return out


def _rerankers(service: Service, texts: Material, scratch: Path, infinity: peers.Infinity | None) -> dict[str, Contender]:
    """Every contender reads the lists in turn."""
    bodies = [{"query": one.query, "documents": one.documents} | ({"scores": one.scores} if one.scores else {}) for one in texts.lists]
    turn = itertools.cycle(bodies)
    out = {"ours, over HTTP": Contender(lambda: len(service.post("/v1/rerank", next(turn))["results"]), service.cpu)}
    if peers.sentence_transformers() is not None:
        folder = scratch / "cross-encoder"
        if not folder.is_dir():
            peers.make_cross_encoder(locate(RetrieverSettings()).path, folder)
        if (torch := peers.cross_encoder(folder, [(one.query, one.documents) for one in texts.lists])) is not None:
            out["sentence-transformers, same shape, fp32"] = torch
    if infinity is not None:
        requests = [{"query": one.query, "documents": one.documents} for one in texts.lists]
        out["infinity (torch), same shape, fp32"] = infinity.contender(*requests)
    return out


def _service(scorer: str, cache: Path, texts: Material, scratch: Path) -> str:
    """Documents per second into a store, and whole queries (embed, search, rerank 20), both over HTTP."""
    own = {"SLIPWAY_RETRIEVER_DATA_DIR": str(scratch / "data"), "SLIPWAY_RETRIEVER_CACHE_DIR": str(cache.resolve())}
    reading = {"SLIPWAY_RERANKER_SCORER": scorer, "SLIPWAY_RERANKER_THREADS": "2"}
    with running("slipway_retriever", own) as retriever, running("slipway_reranker", reading) as reranker:
        files = texts.files
        started, clock = time.perf_counter(), retriever.cpu()
        ids = [retriever.upload(f"document-{i}.md", text.encode()) for i, text in enumerate(files)]
        retriever.post("/v1/vector_stores/vs_default/file_batches", {"file_ids": ids})
        while retriever.get("/v1/vector_stores/vs_default")["file_counts"]["in_progress"]:
            time.sleep(0.02)
        seconds, used = time.perf_counter() - started, retriever.cpu() - clock
        passages = sum(retriever.get(f"/v1/vector_stores/vs_default/files/{one}")["progress"]["passages"] for one in ids)
        lines = [
            f"ingestion: {len(ids) / seconds:.1f} documents/s, {passages / seconds:.0f} passages/s, {1000 * used / len(ids):.0f} ms CPU a document"
        ]
        for question in texts.questions[:WARM_UP]:
            _query(retriever, reranker, question)
        clock = retriever.cpu(), reranker.cpu()
        spent = [_query(retriever, reranker, question) for question in texts.questions[WARM_UP:]]
        used = [1000 * (now - before) / len(spent) for now, before in zip((retriever.cpu(), reranker.cpu()), clock, strict=True)]
        lines.append(f"query of {texts.title}, CPU: {used[0]:.1f} ms of the retriever, {used[1]:.1f} ms of the reranker (means)")
        for name, walls in (
            ("search", [a for a, _ in spent]),
            (f"rerank {LIST}", [b for _, b in spent]),
            ("both", [a + b for a, b in spent]),
        ):
            cut = statistics.quantiles(walls, n=10)
            lines.append(f"query of {texts.title}, {name}: p50 {statistics.median(walls):.1f} ms, p90 {cut[8]:.1f} ms")
    return "\n".join(lines)


def _query(retriever: Service, reranker: Service, question: str) -> tuple[float, float]:
    """Milliseconds of the search (with embedding) and of the reranking."""
    started = time.perf_counter()
    found = retriever.post("/v1/search", {"query": question, "top_k": LIST})["passages"]
    searched = time.perf_counter()
    asked = {"query": question, "documents": [passage["text"] for passage in found], "scores": [passage["score"] for passage in found]}
    reranker.post("/v1/rerank", {**asked, "top_n": 5})
    return 1000 * (searched - started), 1000 * (time.perf_counter() - searched)


if __name__ == "__main__":
    sys.exit(main())
