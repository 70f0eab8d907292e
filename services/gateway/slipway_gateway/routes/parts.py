"""What one part answers alone: embeddings, rerank, moderations, tokenize. Each body is validated here, and relayed as it is.

It refuses to know what the parts do with it.
"""

from collections.abc import Callable
from typing import Annotated

import orjson
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field
from slipway_shared import errors
from slipway_shared.context import RequestContext
from slipway_shared.contracts import RerankRequest
from slipway_shared.dialect.chat import MAX_MESSAGES, MAX_TEXT, Message, Wire
from slipway_shared.dialect.embeddings import EmbeddingsRequest
from slipway_shared.dialect.moderations import ModerationRequest

from slipway_gateway.account import Accounts, Estimate, tokens_of
from slipway_gateway.keys import Key
from slipway_gateway.leaves import Parts
from slipway_gateway.surface import described, parse, takes
from slipway_gateway.upstream import Upstream

Text = Annotated[str, Field(max_length=MAX_TEXT)]
Name = Annotated[str, Field(min_length=1, max_length=128)]


class TokenizeRequest(Wire):
    """`POST /tokenize`: a text, or a conversation as the chat route would show it to the model."""

    model: Name | None = None
    prompt: Text | None = None
    messages: Annotated[list[Message], Field(min_length=1, max_length=MAX_MESSAGES)] | None = None


class DetokenizeRequest(Wire):
    """`POST /detokenize`: token ids to text."""

    model: Name | None = None
    tokens: Annotated[list[Annotated[int, Field(ge=0, lt=1 << 53)]], Field(max_length=1 << 20)]


def part_routes(parts: Parts, accounts: Accounts) -> APIRouter:
    """The routes on `parts`."""
    router = APIRouter()

    @router.post("/v1/embeddings", openapi_extra=takes(EmbeddingsRequest), responses=described(), tags=["retrieval"])
    async def embeddings(request: Request) -> Response:
        """Vectors of texts, as floats or base64."""
        body = await request.body()
        asked = parse(EmbeddingsRequest, body)
        key: Key = request.scope["state"]["key"]
        key.check_model(asked.model)
        context = _context(request)
        estimate = Estimate(sum(tokens_of(len(text)) for text in asked.texts))
        account = await accounts.open(key, context.span_id, "embeddings", estimate)
        try:
            account.asked()
            raw = await _present(parts.retriever, "retriever").post("/v1/embeddings", body, context)
            account.exact(orjson.loads(raw).get("usage") or {})
        finally:
            left = await accounts.close(account)
        return Response(raw, media_type="application/json", headers=left)

    _relay(router, "/v1/rerank", RerankRequest, lambda: _present(parts.reranker, "reranker"))
    _relay(router, "/v1/moderations", ModerationRequest, lambda: _present(parts.safety, "safety filter"))
    for prefix in ("", "/v1"):  # vLLM's path, and ours behind the edge, which routes /v1 alone
        _relay(router, f"{prefix}/tokenize", TokenizeRequest, lambda: _present(parts.generator, "generator"), at="/tokenize")
        _relay(router, f"{prefix}/detokenize", DetokenizeRequest, lambda: _present(parts.generator, "generator"), at="/detokenize")
    return router


def _relay(router: APIRouter, path: str, model: type[BaseModel], part: Callable[[], Upstream], at: str | None = None) -> None:
    async def relay(request: Request) -> Response:
        body = await request.body()
        parse(model, body)
        return Response(await part().post(at or path, body, _context(request)), media_type="application/json")

    relay.__doc__ = model.__doc__
    router.add_api_route(path, relay, methods=["POST"], openapi_extra=takes(model), responses=described(), name=path.strip("/"))


def _present(part: Upstream | None, name: str) -> Upstream:
    if part is None:
        raise errors.Overloaded(f"This installation has no {name}.", code=f"{name.replace(' ', '_')}_unavailable")
    return part


def _context(request: Request) -> RequestContext:
    return request.scope["state"]["context"]
