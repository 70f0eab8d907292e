"""From a question to its evidence: search, rerank, and going on when one of them is away. It knows no prompt, no model and no HTTP."""

from slipway_shared.contracts import MAX_QUERY, Passage, SearchRequest
from slipway_shared.dialect.chat import Retrieval
from slipway_shared.metrics import Metrics

from slipway_gateway.ask import Ask
from slipway_gateway.evidence import Evidence, in_rerank_order, in_search_order, titled
from slipway_gateway.leaves import Leaves
from slipway_gateway.upstream import AWAY


class Sources:
    """Finds passages. `candidates` is how many the reranker chooses from; without a reranker the retriever's order stands."""

    def __init__(self, leaves: Leaves, metrics: Metrics, *, candidates: int, reranks: bool) -> None:
        self._leaves = leaves
        self._metrics = metrics
        self._candidates = candidates
        self._reranks = reranks

    async def search(self, ask: Ask, asked: Retrieval) -> list[Passage] | None:
        """Candidates best first; None while the retriever is away. An unknown store raises NotFound."""
        query = ask.question[-MAX_QUERY:]
        if not query:
            return []
        top_k = max(self._candidates, asked.top_k) if self._reranks else asked.top_k
        stores = {"vector_store_ids": tuple(asked.vector_store_ids)} if asked.vector_store_ids else {}
        request = SearchRequest.model_validate({"query": query, "top_k": top_k, "mode": asked.mode, "filters": asked.filters, **stores})
        try:
            with ask.stages.stage("retrieve"):
                return await self._leaves.search(request, ask.context)
        except AWAY:
            self._metrics.counter("slipway_degraded", part="retriever").inc()
            return None

    async def rank(self, ask: Ask, asked: Retrieval, passages: list[Passage]) -> Evidence:
        """The best `top_k` of `passages`, with their evidence score."""
        if not passages:
            return Evidence(wanted=True)
        if not self._reranks:
            return in_search_order(passages, asked.top_k)
        try:
            with ask.stages.stage("rerank"):
                scores = (
                    [p.score for p in passages] if asked.mode == "hybrid" else None
                )  # the reranker's blend is fitted on hybrid search's scale
                ranked = await self._leaves.rerank(
                    ask.question[-MAX_QUERY:], [titled(p) for p in passages], asked.top_k, ask.context, scores
                )
        except AWAY:
            self._metrics.counter("slipway_degraded", part="reranker").inc()
            return in_search_order(passages, asked.top_k)
        return in_rerank_order(passages, ranked, asked.top_k)
