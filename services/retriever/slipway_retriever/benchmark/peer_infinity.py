"""Run by the interpreter of an environment that holds infinity-emb, not by ours: a JSON request per line in, {"items", "cpu"} per line out.

Requests are {"texts": [...]} and {"query": ..., "documents": [...]}. It imports nothing of ours.
"""

import asyncio
import importlib
import json
import sys
import time
from typing import Any


async def serve(model: str, cross_encoder: str) -> None:
    """One engine each for embedding and reranking, on torch with one thread, as infinity starts them on a CPU."""
    library: Any = importlib.import_module("infinity_emb")
    importlib.import_module("torch").set_num_threads(1)
    common: dict[str, Any] = {"engine": "torch", "device": "cpu", "model_warmup": False, "dtype": "float32", "bettertransformer": False}
    embedding = library.AsyncEmbeddingEngine.from_args(library.EngineArgs(model_name_or_path=model, **common))
    reranking = library.AsyncEmbeddingEngine.from_args(library.EngineArgs(model_name_or_path=cross_encoder, **common))
    async with embedding, reranking:
        for line in sys.stdin:
            request = json.loads(line)
            started = time.process_time()
            if "texts" in request:
                answer, _ = await embedding.embed(sentences=request["texts"])
            else:
                answer, _ = await reranking.rerank(query=request["query"], docs=request["documents"])
            sys.stdout.write(json.dumps({"items": len(answer), "cpu": time.process_time() - started}) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], sys.argv[2]))
