"""`POST /v1/search` for the gateway, and `POST /v1/embeddings` in OpenAI's shape."""

import asyncio
import base64
import time
from typing import Any

import numpy as np
from fastapi import APIRouter, Request
from slipway_shared import errors
from slipway_shared.contracts import SearchRequest, SearchResponse
from slipway_shared.dialect.embeddings import EmbeddingsRequest

from slipway_retriever.embed.batcher import Urgency
from slipway_retriever.routes.parts import Parts, PartsOf, TenantOf
from slipway_retriever.search import Query
from slipway_retriever.store.tenant import Tenant


def routes() -> APIRouter:
    """Search and embeddings."""
    router = APIRouter()

    @router.post("/v1/search")
    async def search(body: SearchRequest, request: Request, tenant: TenantOf, parts: PartsOf) -> SearchResponse:
        return await run_search(parts, tenant, request, body)

    @router.post("/v1/embeddings")
    async def embeddings(body: EmbeddingsRequest, request: Request, parts: PartsOf) -> dict[str, Any]:
        embedder = parts.batcher.embedder
        if body.dimensions is not None and body.dimensions > embedder.dimensions:
            raise errors.BadRequest(f"dimensions: this model has {embedder.dimensions}.", param="dimensions")
        remaining = request.state.context.remaining_seconds
        embedded = await parts.batcher.embed(body.texts, Urgency.REQUEST, seconds=remaining)
        vectors = embedded.vectors
        if body.dimensions is not None:
            vectors = vectors[:, : body.dimensions]
            vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        rows = vectors.astype("<f4")
        as_text = body.encoding_format == "base64"
        return {
            "object": "list",
            "model": embedder.name,
            "data": [
                {"object": "embedding", "index": i, "embedding": base64.b64encode(row.tobytes()).decode() if as_text else row.tolist()}
                for i, row in enumerate(rows)
            ],
            "usage": {"prompt_tokens": embedded.tokens, "total_tokens": embedded.tokens},
        }

    return router


async def run_search(parts: Parts, tenant: Tenant, request: Request, body: SearchRequest) -> SearchResponse:
    """Embed the query ahead of everything else, then search on a worker thread."""
    started = time.perf_counter()
    vector = None
    if body.mode != "bm25":
        query = parts.batcher.embedder.query_prefix + body.query
        embedded = await parts.batcher.embed([query], Urgency.QUERY, seconds=request.state.context.remaining_seconds)
        vector = embedded.vectors[0]
    diversity = parts.settings.diversity if body.diversity is None else body.diversity
    wanted = Query(body.query, vector, body.vector_store_ids, body.top_k, body.mode, body.filters, diversity)
    found = await asyncio.to_thread(parts.searcher.search, tenant, wanted)
    request.app.state.metrics.histogram("slipway_search_seconds", mode=body.mode).observe(time.perf_counter() - started)
    return SearchResponse(passages=found)
