"""`GET /v1/models`, `POST /tokenize`, `POST /detokenize`: what is loaded, and its tokenizer."""

from typing import Any

from fastapi import APIRouter, Request
from slipway_shared import errors

from slipway_generator.completion import DetokenizeRequest, TokenizeRequest
from slipway_generator.plan import encode
from slipway_generator.routes import access
from slipway_generator.shape import Shape, messages_for
from slipway_generator.tokenizer import Piece, decode

router = APIRouter()


@router.get("/v1/models")
async def models(request: Request) -> dict[str, Any]:
    """The one model of this process, by the digest that everything else names, and its adapters."""
    return {"object": "list", "data": [access.opened(request).card.listing(), *access.adapters(request).listing()]}


@router.post("/tokenize")
async def tokenize(body: TokenizeRequest, request: Request) -> dict[str, Any]:
    """The ids of a text, or of a conversation as the chat route would send it."""
    opened = access.opened(request)
    if body.model is not None:
        access.adapters(request).resolve(body.model)
    if body.messages is not None:
        pieces = opened.template.render(messages_for(opened.template, body.messages, Shape()))
        tokens = list(await encode(opened, pieces))
    elif body.special:
        tokens = [token for spelled, token in opened.tokenizer.specials.items() if spelled == body.prompt]
    else:
        tokens = [] if not body.prompt else list(await encode(opened, [Piece(body.prompt)]))
    return {"tokens": tokens, "count": len(tokens), "max_model_len": opened.card.context_tokens}


@router.post("/detokenize")
async def detokenize(body: DetokenizeRequest, request: Request) -> dict[str, Any]:
    """The text of ids."""
    opened = access.opened(request)
    if body.model is not None:
        access.adapters(request).resolve(body.model)
    try:
        return {"prompt": decode(opened.tokenizer, body.tokens)}
    except ValueError as error:
        raise errors.BadRequest(f"{error}.", param="tokens") from None
