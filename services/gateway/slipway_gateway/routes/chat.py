"""`POST /v1/chat/completions`. It validates once, and leaves the answering to the pipeline."""

from collections.abc import Callable

from fastapi import APIRouter, Request, Response
from slipway_shared import errors
from slipway_shared.context import RequestContext
from slipway_shared.dialect.chat import ChatCompletion, ChatRequest

from slipway_gateway.ask import Ask
from slipway_gateway.catalog import Catalog, ModelCard
from slipway_gateway.pipeline import Pipeline
from slipway_gateway.streaming import EventStream, Gone, unless_gone
from slipway_gateway.surface import body_of, described, parse
from slipway_gateway.timing import Stages
from slipway_gateway.upstream import AWAY

CALLER_GONE = 499
"""The status that logs show for a caller who hung up (nginx's convention); nobody receives it."""


def chat_routes(pipeline: Pipeline, catalog: Catalog, *, keepalive_seconds: float) -> APIRouter:
    """The chat endpoint on `pipeline`."""
    router = APIRouter(tags=["chat"])

    @router.post("/v1/chat/completions", openapi_extra=body_of(ChatRequest), responses=described(ChatCompletion, stream=True))
    async def chat_completions(request: Request) -> Response:
        """Answer a conversation, from retrieved passages where asked; streams when `stream` is true."""
        ask = await _read(request, catalog)
        headers = _truth(ask)
        if ask.request.stream:
            return EventStream(pipeline.stream(ask), headers=headers, keepalive_seconds=keepalive_seconds)
        try:
            body = await unless_gone(request.receive, pipeline.complete(ask))
        except Gone:
            return Response(status_code=CALLER_GONE)
        return Response(body, media_type="application/json", headers=headers())

    return router


async def _read(request: Request, catalog: Catalog) -> Ask:
    context: RequestContext = request.scope["state"]["context"]
    body = await request.body()
    asked = parse(ChatRequest, body)
    card = await _card(catalog, asked.model, context)
    stages = Stages(request.app.state.metrics, context.started)
    stages.mark("queue")
    ask = Ask(asked, body, card, context, stages)
    if asked.n > 1 and card.kind == "reader" and ask.retrieval is not None:
        raise errors.BadRequest("n must be 1 where a reader answers from passages.", param="n")
    return ask


async def _card(catalog: Catalog, model: str, context: RequestContext) -> ModelCard:
    try:
        return await catalog.card(model, context)
    except AWAY:
        # Nobody knows the models now. The pipeline still can quote from the sources, which is what it does for a reader.
        return ModelCard(id=model, kind="reader")


def _truth(ask: Ask) -> Callable[[], dict[str, str]]:
    def headers() -> dict[str, str]:
        out = {"x-slipway-timing": ask.stages.header()}
        if ask.card.digest:
            out["x-slipway-release"] = ask.card.digest
        return out

    return headers
