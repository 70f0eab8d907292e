"""The HTTP surface: check, moderations, policy, canaries.

It knows requests and answers. It refuses to know detectors: everything goes through the Checker.
"""

import asyncio
import time
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel
from slipway_shared.context import RequestContext
from slipway_shared.contracts import CheckRequest, CheckResponse
from slipway_shared.dialect.moderations import ModerationRequest
from slipway_shared.metrics import Metrics

from slipway_safety_filter import leaks, moderation
from slipway_safety_filter.audit import Audit
from slipway_safety_filter.check import Checker
from slipway_safety_filter.classifier import HARM_HEADS
from slipway_safety_filter.policy import Policies, Policy
from slipway_safety_filter.spans import MAX_MATCH_CHARS

INLINE_CHARS = 1024
"""A check of more text than this, or one that the encoder reads, runs beside the event loop: health and small checks never wait for it, and checks
that come together share the encoder's passes."""


class Desk:
    """What the routes need, put together once by the application."""

    def __init__(self, checker: Checker, policies: Policies, metrics: Metrics, audit: Audit) -> None:
        self.checker = checker
        self.policies = policies
        self._metrics = metrics
        self._audit = audit

    async def check(self, request: CheckRequest, context: RequestContext) -> CheckResponse:
        """The verdict for the tenant of `context`, counted and audited."""
        started = time.perf_counter()
        policy = self.policies.of(context.tenant)
        encoded = (self.checker.encodes and (request.side == "input" or request.passages)) or self.checker.names_read(policy, request.side)
        if encoded or len(request.text) + sum(map(len, request.passages)) > INLINE_CHARS:
            response = await asyncio.to_thread(self.checker.check, request, policy)
        else:
            response = self.checker.check(request, policy)
        self._count(request, response, time.perf_counter() - started)
        self._audit.record(context, request, response)
        return response

    async def moderate(self, text: str, context: RequestContext) -> moderation.ModerationResult:
        """Every category's score, whatever the policy does about it: ours, OpenAI's, and those of the operator's own checks."""
        checked = await self.check(CheckRequest(text=text), context)
        policy = self.policies.of(context.tenant)
        harms = await asyncio.to_thread(self.checker.harms, text, HARM_HEADS)
        attacks = await asyncio.to_thread(self.checker.attacks, text)
        scores = dict.fromkeys(self.checker.own_categories, 0.0) | {span.category: span.score for span in [*harms, *attacks]}
        for span in await asyncio.to_thread(self.checker.owned, text, "input"):
            scores[span.category] = max(scores[span.category], span.score)
        reached = {category for category, score in scores.items() if score > 0 and score >= policy.row(category).threshold}
        return moderation.result(checked, scores, reached)

    def _count(self, request: CheckRequest, response: CheckResponse, seconds: float) -> None:
        self._metrics.histogram("slipway_safety_seconds", side=request.side).observe(seconds)
        self._metrics.counter("slipway_safety_verdicts", side=request.side, verdict=response.verdict).inc()
        for finding in response.findings:
            self._metrics.counter("slipway_safety_findings", category=finding.category).inc()


class PolicyDocument(BaseModel):
    """`GET /v1/policy`: what holds for the calling tenant, and the bound on what a stream must keep back."""

    id: str
    version: str
    mode: str
    max_match_chars: int
    categories: dict[str, dict[str, Any]]


class Canary(BaseModel):
    """`POST /v1/canaries`: a token to plant in a system prompt."""

    canary: str


def _desk(request: Request) -> Desk:
    return request.app.state.desk


def _context(request: Request) -> RequestContext:
    return request.state.context


DeskOf = Annotated[Desk, Depends(_desk)]
ContextOf = Annotated[RequestContext, Depends(_context)]


def router() -> APIRouter:
    """The service's own routes."""
    routes = APIRouter()

    @routes.post("/v1/check")
    async def check(body: CheckRequest, desk: DeskOf, context: ContextOf) -> CheckResponse:
        return await desk.check(body, context)

    @routes.post("/v1/moderations")
    async def moderations(body: ModerationRequest, desk: DeskOf, context: ContextOf) -> moderation.ModerationResponse:
        return moderation.response(await asyncio.gather(*(desk.moderate(text, context) for text in body.texts())))

    @routes.get("/v1/policy")
    async def policy(desk: DeskOf, context: ContextOf) -> PolicyDocument:
        return _document(desk.policies.of(context.tenant))

    @routes.post("/v1/canaries")
    async def canaries() -> Canary:
        return Canary(canary=leaks.mint())

    return routes


def _document(policy: Policy) -> PolicyDocument:
    return PolicyDocument(
        id=policy.id, version=policy.version, mode=policy.mode, max_match_chars=MAX_MATCH_CHARS,
        categories={name: row.model_dump() for name, row in sorted(policy.categories.items())},
    )  # fmt: skip
