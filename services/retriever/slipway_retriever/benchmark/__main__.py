"""`python -m slipway_retriever.benchmark`: embedding, reranking, search, ingestion and whole queries beside their alternatives, those that are installed."""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from slipway_retriever.benchmark import made, peers, searches
from slipway_retriever.benchmark.rounds import Contender, measure, table
from slipway_retriever.benchmark.services import Service, running
from slipway_retriever.embed.model_folder import locate
from slipway_retriever.embed.onnx_embedder import OnnxEmbedder
from slipway_retriever.settings import RetrieverSettings

PARTS = ("embed", "rerank", "search", "service")
LIST = 20


def main(argv: Sequence[str] | None = None) -> int:
    """Print a table per part: processor and wall time per item over interleaved rounds."""
    parser = argparse.ArgumentParser(prog="slipway_retriever.benchmark", description=(main.__doc__ or "").strip())
    parser.add_argument("parts", nargs="*", default=PARTS, help=f"which of {', '.join(PARTS)}; all without any")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=0.5, help="of each contender in each round")
    parser.add_argument("--cache", type=Path, default=Path(".slipway/eval-retrieval/cache"), help="where converted models are")
    parser.add_argument("--scorer", default="overlap", help="SLIPWAY_RERANKER_SCORER of the reranker that is measured")
    parser.add_argument("--infinity", type=Path, help="an environment with infinity-emb[torch], to compare with")
    wanted = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as scratch:
        peer = _infinity(wanted.infinity, Path(scratch))
        if "embed" in wanted.parts:
            for size in (1, 32):
                _show(wanted, f"embeddings, batch {size}, one thread", _embedders(wanted.cache, size, peer))
        if "rerank" in wanted.parts:
            with running("slipway_reranker", {"SLIPWAY_RERANKER_SCORER": wanted.scorer}) as service:
                _show(wanted, f"pairs reranked, {LIST} passages a query, one thread", _rerankers(service, Path(scratch), peer))
        if "search" in wanted.parts:
            vectors, title = searches.vectors()
            _show(wanted, title, vectors)
            _show(wanted, f"BM25 over {searches.PASSAGES:,} passages", searches.words())
        if "service" in wanted.parts:
            sys.stdout.write(f"{_service(wanted.scorer, wanted.cache, Path(scratch))}\n")
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
    for precision in ("int8", "fp32"):
        ours = OnnxEmbedder(folder, precision, cache, 1)
        out[f"ours, {precision}"] = Contender(lambda ours=ours: len(ours.embed(ours.tokenize(texts))))
    if (torch := peers.sentence_encoder(folder.path, texts)) is not None:
        out["sentence-transformers, fp32"] = torch
    if infinity is not None:
        out["infinity (torch), fp32"] = infinity.contender({"texts": texts})
    return out


def _rerankers(service: Service, scratch: Path, infinity: peers.Infinity | None) -> dict[str, Contender]:
    query, documents = made.question(), made.passages(LIST)
    body = {"query": query, "documents": documents}
    out = {"ours, over HTTP": Contender(lambda: len(service.post("/v1/rerank", body)["results"]), service.cpu)}
    if peers.sentence_transformers() is not None:
        folder = scratch / "cross-encoder"
        if not folder.is_dir():
            peers.make_cross_encoder(locate(RetrieverSettings()).path, folder)
        if (torch := peers.cross_encoder(folder, query, documents)) is not None:
            out["sentence-transformers, same shape, fp32"] = torch
    if infinity is not None:
        out["infinity (torch), same shape, fp32"] = infinity.contender(body)
    return out


def _service(scorer: str, cache: Path, scratch: Path) -> str:
    """Documents per second into a store, and whole queries (embed, search, rerank 20), both over HTTP."""
    own = {"SLIPWAY_RETRIEVER_DATA_DIR": str(scratch / "data"), "SLIPWAY_RETRIEVER_CACHE_DIR": str(cache.resolve())}
    reading = {"SLIPWAY_RERANKER_SCORER": scorer, "SLIPWAY_RERANKER_THREADS": "2"}
    with running("slipway_retriever", own) as retriever, running("slipway_reranker", reading) as reranker:
        files = made.documents(60)
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
        walls = [_timed(lambda q=q: _query(retriever, reranker, q)) for q in made.questions(60)][10:]
        cut = statistics.quantiles(walls, n=10)
        lines.append(f"query (embed, hybrid search, rerank {LIST}): p50 {statistics.median(walls):.1f} ms, p90 {cut[8]:.1f} ms")
    return "\n".join(lines)


def _query(retriever: Service, reranker: Service, question: str) -> None:
    found = retriever.post("/v1/search", {"query": question, "top_k": LIST})["passages"]
    asked = {"query": question, "documents": [passage["text"] for passage in found], "scores": [passage["score"] for passage in found]}
    reranker.post("/v1/rerank", {**asked, "top_n": 5})


def _timed(call: Callable[[], None]) -> float:
    started = time.perf_counter()
    call()
    return 1000 * (time.perf_counter() - started)


if __name__ == "__main__":
    sys.exit(main())
