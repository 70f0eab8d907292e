"""`POST /v1/chat/completions`. It leaves the answering to the pipeline and sees to it that every account is closed."""

import contextlib
from collections.abc import AsyncGenerator

from fastapi import APIRouter, Request, Response
from slipway_shared.dialect.chat import ChatCompletion, ChatRequest

from slipway_gateway.account import Accounts
from slipway_gateway.ask import Ask
from slipway_gateway.desk import CALLER_GONE, Desk
from slipway_gateway.pipeline import Pipeline
from slipway_gateway.streaming import EventStream, Gone, unless_gone
from slipway_gateway.surface import body_of, described

_EXAMPLE = {"model": "slipway-reader", "messages": [{"role": "user", "content": "What is Slipway?"}], "retrieval": {"top_k": 5}}


def chat_routes(desk: Desk, pipeline: Pipeline, accounts: Accounts) -> APIRouter:
    """The chat endpoint on `pipeline`."""
    router = APIRouter(tags=["chat"])

    @router.post("/v1/chat/completions", openapi_extra=body_of(ChatRequest, _EXAMPLE), responses=described(ChatCompletion, stream=True))
    async def chat_completions(request: Request) -> Response:
        """Answer a conversation, from retrieved passages where asked; streams when `stream` is true."""
        ask = await desk.read(request, await request.body())
        headers = desk.truth(ask)
        if ask.request.stream:
            frames = _within_limits(pipeline.stream(ask), ask, accounts)
            return EventStream(
                frames, headers=headers, keepalive_seconds=desk.keepalive_seconds, ended=lambda: accounts.close_behind(ask.account)
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
