"""`POST /v1/rerank`, in the shape that Cohere and Jina share, with `evidence` beside the results. It refuses to know a concrete scorer."""

import secrets
import time

from fastapi import APIRouter, Request
from slipway_shared.context import RequestContext
from slipway_shared.contracts import RerankRequest, RerankResponse, RerankResult
from slipway_shared.metrics import Metrics

from slipway_reranker.worker import ScoringWorker


def routes() -> APIRouter:
    """The service's own routes; they read the worker and the metrics from `app.state`."""
    router = APIRouter()

    @router.post("/v1/rerank")
    async def rerank(body: RerankRequest, request: Request) -> RerankResponse:
        worker: ScoringWorker = request.app.state.worker
        metrics: Metrics = request.app.state.metrics
        context: RequestContext = request.state.context
        started = time.perf_counter()
        scored = await worker.score(body.query, body.documents, body.scores, seconds=context.remaining_seconds)
        metrics.histogram("slipway_rerank_seconds").observe(time.perf_counter() - started)
        metrics.counter("slipway_rerank_pairs").inc(len(body.documents))
        order = sorted(range(len(body.documents)), key=lambda i: (-scored.relevance[i], i))[: body.top_n]
        return RerankResponse(
            id=f"rerank_{secrets.token_hex(12)}",
            model=worker.model,
            results=[
                RerankResult(
                    index=i,
                    relevance_score=round(scored.relevance[i], 6),
                    truncated=i in scored.truncated,
                    document={"text": body.documents[i]} if body.return_documents else None,
                )
                for i in order
            ],
            evidence=round(scored.evidence, 6),
        )

    return router
