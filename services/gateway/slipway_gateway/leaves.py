"""The typed calls to retriever, reranker and safety filter. It knows their paths and contracts, and refuses to decide what a failure means."""

from dataclasses import dataclass

import orjson
from pydantic import ValidationError
from slipway_shared import errors
from slipway_shared.context import RequestContext
from slipway_shared.contracts import (
    CheckResponse,
    Passage,
    RerankRequest,
    RerankResponse,
    SearchRequest,
    SearchResponse,
    Side,
)
from slipway_shared.metrics import Metrics

from slipway_gateway.hedging import Hedge
from slipway_gateway.settings import GatewaySettings
from slipway_gateway.upstream import Upstream


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts that the gateway calls; None where a part is absent."""

    generator: Upstream | None
    retriever: Upstream | None
    reranker: Upstream | None
    safety: Upstream | None


@dataclass(slots=True)
class Check:
    """A CheckRequest as the gateway writes it. It is of our own making and the filter validates it, so here it is only a record: an eighth of the time."""

    text: str
    side: Side = "input"
    passages: tuple[str, ...] = ()
    protected: tuple[str, ...] = ()
    final: bool = True
    system: tuple[tuple[int, int], ...] = ()


class Leaves:
    """Search, rerank and check. Each raises UpstreamFailed, Overloaded or DeadlineExceeded when its part is away."""

    def __init__(self, parts: Parts, settings: GatewaySettings, metrics: Metrics) -> None:
        self._parts = parts
        self._settings = settings
        self._searches = Hedge(settings.hedge_seconds, metrics.counter("slipway_hedges", upstream="retriever"))
        self._reranks = Hedge(settings.hedge_seconds, metrics.counter("slipway_hedges", upstream="reranker"))
        # Most verdicts are the one before it, byte for byte: that nothing was found. It is not read again.
        self._clean_raw, self._clean = b"", CheckResponse(verdict="allow", findings=[])

    async def search(self, request: SearchRequest, context: RequestContext) -> list[Passage]:
        """The passages that match, best first."""
        retriever = _present(self._parts.retriever, "retriever")
        body = request.model_dump_json().encode()
        raw = await self._searches.call(lambda: retriever.post("/v1/search", body, context, seconds=self._settings.search_seconds))
        try:
            return SearchResponse.model_validate_json(raw).passages
        except ValidationError as error:
            raise errors.UpstreamFailed("The retriever's answer has a wrong shape.") from error

    async def rerank(
        self, query: str, documents: list[str], top_n: int, context: RequestContext, scores: list[float] | None = None
    ) -> RerankResponse:
        """The best `top_n` of `documents`, and whether they hold an answer at all. `scores` are the search's, where it was a hybrid one."""
        reranker = _present(self._parts.reranker, "reranker")
        asked = RerankRequest(query=query, documents=documents, top_n=min(top_n, len(documents)), scores=scores)
        body = asked.model_dump_json(exclude_none=True).encode()
        raw = await self._reranks.call(lambda: reranker.post("/v1/rerank", body, context, seconds=self._settings.rerank_seconds))
        try:
            ranked = RerankResponse.model_validate_json(raw)
        except ValidationError as error:
            raise errors.UpstreamFailed("The reranker's answer has a wrong shape.") from error
        if any(not 0 <= result.index < len(documents) for result in ranked.results):
            raise errors.UpstreamFailed("The reranker names a document that it was not given.")
        return ranked

    async def check(self, request: Check, context: RequestContext) -> CheckResponse:
        """The safety filter's verdict."""
        safety = _present(self._parts.safety, "safety filter")
        raw = await safety.post("/v1/check", orjson.dumps(request), context, seconds=self._settings.safety_seconds)
        if raw == self._clean_raw:
            return self._clean
        try:
            verdict = CheckResponse.model_validate_json(raw)
        except ValidationError as error:
            raise errors.UpstreamFailed("The safety filter's answer has a wrong shape.") from error
        if verdict.verdict == "allow" and not verdict.findings:
            self._clean_raw, self._clean = raw, verdict
        return verdict


def _present(part: Upstream | None, name: str) -> Upstream:
    if part is None:
        raise errors.UpstreamFailed(f"This installation has no {name}.")
    return part
