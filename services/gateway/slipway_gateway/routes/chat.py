"""`POST /v1/chat/completions`. It leaves the answering to the pipeline and sees to it that every account is closed."""

import contextlib
from collections.abc import AsyncGenerator
from dataclasses import replace

from fastapi import APIRouter, Request, Response
from slipway_shared import errors
from slipway_shared.dialect.chat import ChatCompletion, ChatRequest
from slipway_shared.joining import outlet_of
from slipway_shared.middleware import headers_of

from slipway_gateway.account import Accounts
from slipway_gateway.ask import Ask
from slipway_gateway.desk import CALLER_GONE, Desk
from slipway_gateway.idempotency import Idempotency, Kept
from slipway_gateway.pipeline import Pipeline
from slipway_gateway.streaming import Document, EventStream, Gone, body_of, unless_gone
from slipway_gateway.surface import described, takes

_PATH = "/v1/chat/completions"


def chat_routes(desk: Desk, pipeline: Pipeline, accounts: Accounts, idempotency: Idempotency) -> APIRouter:
    """The chat endpoint on `pipeline`."""
    router = APIRouter(tags=["chat"])

    @router.post(_PATH, openapi_extra=takes(ChatRequest), responses=described(ChatCompletion, stream=True))
    async def chat_completions(request: Request) -> Response:
        """Answer a conversation, from retrieved passages where asked; streams when `stream` is true."""
        body = await body_of(request)
        key = headers_of(request.scope).get("idempotency-key")
        ask = await desk.read(request, body)
        headers = desk.truth(ask, limits=ask.request.stream)  # what is left is known better when a whole answer's account is closed
        if ask.request.stream and key is None:
            frames = _within_limits(pipeline.stream(replace(ask, outlet=outlet_of(request.scope))), ask, accounts)
            return EventStream(
                frames, headers=headers, keepalive_seconds=desk.keepalive_seconds, ended=lambda: accounts.close_behind(ask.account)
            )

        async def whole() -> Kept:
            answer = await unless_gone(request.receive, pipeline.complete(ask))
            return Kept(answer, headers())

        # A call that is answered from memory has an account too: it is closed with nothing used.
        settled = False
        try:
            if ask.request.stream:
                raise errors.BadRequest("Idempotency-Key is for calls that are not streamed.", param="stream")
            kept, again = (await whole(), False) if key is None else await idempotency.once(ask.context.tenant, _PATH, key, body, whole)
            settled = True
            left = await accounts.close(ask.account)
        except Gone:
            return Response(status_code=CALLER_GONE)
        finally:
            if not settled:
                accounts.close_behind(ask.account)
        replayed = {"x-slipway-replayed": "true"} if again else {}
        return Document(kept.body, {**kept.headers, **left, **replayed})

    return router


async def _within_limits(frames: AsyncGenerator[bytes], ask: Ask, accounts: Accounts) -> AsyncGenerator[bytes]:
    """`frames`, until more came than the caller's limits allow."""
    async with contextlib.aclosing(frames):
        async for frame in frames:
            if ask.account.overdrawn:
                await accounts.extend(ask.account)
            yield frame
