"""`POST /v1/chat/completions`. It validates once, and leaves the answering to the pipeline."""

import contextlib
from collections.abc import AsyncGenerator, Callable

from fastapi import APIRouter, Request, Response
from slipway_shared import errors
from slipway_shared.context import RequestContext
from slipway_shared.dialect.chat import ChatCompletion, ChatRequest

from slipway_gateway.account import Accounts, estimate_chat
from slipway_gateway.ask import Ask
from slipway_gateway.catalog import Catalog, ModelCard
from slipway_gateway.keys import Key
from slipway_gateway.pipeline import Pipeline
from slipway_gateway.streaming import EventStream, Gone, unless_gone
from slipway_gateway.surface import body_of, described, parse
from slipway_gateway.timing import Stages
from slipway_gateway.upstream import AWAY

CALLER_GONE = 499
"""The status that logs show for a caller who hung up (nginx's convention); nobody receives it."""


def chat_routes(pipeline: Pipeline, catalog: Catalog, accounts: Accounts, *, keepalive_seconds: float) -> APIRouter:
    """The chat endpoint on `pipeline`."""
    router = APIRouter(tags=["chat"])

    @router.post("/v1/chat/completions", openapi_extra=body_of(ChatRequest), responses=described(ChatCompletion, stream=True))
    async def chat_completions(request: Request) -> Response:
        """Answer a conversation, from retrieved passages where asked; streams when `stream` is true."""
        ask = await _read(request, catalog, accounts)
        headers = _truth(ask)
        if ask.request.stream:
            frames = _within_limits(pipeline.stream(ask), ask, accounts)
            return EventStream(
                frames, headers=headers, keepalive_seconds=keepalive_seconds, ended=lambda: accounts.close_behind(ask.account)
            )
        settled = False
        try:
            body = await unless_gone(request.receive, pipeline.complete(ask))
            settled = True
            left = await accounts.close(ask.account)
        except Gone:
            return Response(status_code=CALLER_GONE)
        finally:
            if not settled:
                accounts.close_behind(ask.account)
        return Response(body, media_type="application/json", headers={**headers(), **left})

    return router


async def _within_limits(frames: AsyncGenerator[bytes], ask: Ask, accounts: Accounts) -> AsyncGenerator[bytes]:
    """`frames`, until more came than the caller's limits allow."""
    async with contextlib.aclosing(frames):
        async for frame in frames:
            if ask.account.overdrawn:
                await accounts.extend(ask.account)
            yield frame


async def _read(request: Request, catalog: Catalog, accounts: Accounts) -> Ask:
    context: RequestContext = request.scope["state"]["context"]
    key: Key = request.scope["state"]["key"]
    body = await request.body()
    asked = parse(ChatRequest, body)
    key.check_model(asked.model)
    card = await _card(catalog, asked.model, context)
    stages = Stages(request.app.state.metrics, context.started)
    retrieving = asked.retrieval is not False and (asked.retrieval is not None or card.kind == "reader")
    if asked.n > 1 and card.kind == "reader" and retrieving:
        raise errors.BadRequest("n must be 1 where a reader answers from passages.", param="n")
    # A name that nobody could look up must not become a metric's label.
    account = await accounts.open(key, context.span_id, asked.model if card.owned_by else "unknown", estimate_chat(asked))
    stages.mark("queue")
    return Ask(asked, body, card, context, stages, account)


async def _card(catalog: Catalog, model: str, context: RequestContext) -> ModelCard:
    try:
        return await catalog.card(model, context)
    except AWAY:
        # Nobody knows the models now. The pipeline still can quote from the sources, which is what it does for a reader.
        return ModelCard(id=model, kind="reader", owned_by="")


def _truth(ask: Ask) -> Callable[[], dict[str, str]]:
    def headers() -> dict[str, str]:
        out = {"x-slipway-timing": ask.stages.header(), **(ask.account.grant.headers if ask.account.grant else {})}
        if ask.card.digest:
            out["x-slipway-release"] = ask.card.digest
        return out

    return headers
