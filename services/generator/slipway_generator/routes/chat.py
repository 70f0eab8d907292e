"""`POST /v1/chat/completions`: JSON, or frames with `stream: true`."""

from fastapi import APIRouter, Request, Response
from slipway_shared.dialect.chat import ChatRequest

from slipway_generator.answer import Head, chat_frames, chat_object
from slipway_generator.channel import EventStream, Frames, JsonAnswer
from slipway_generator.measured import measured
from slipway_generator.merged import merge
from slipway_generator.plan import plan_chat
from slipway_generator.routes import access
from slipway_generator.shape import shape_of

router = APIRouter()


@router.post("/v1/chat/completions")
async def chat(body: ChatRequest, request: Request) -> Response:
    """Answer a conversation with the loaded model."""
    opened, meter, context = access.opened(request), access.meter(request), access.context(request)
    adapters = access.adapters(request)
    adapter = adapters.resolve(body.model)
    shape = shape_of(body)
    requests = await plan_chat(opened, body, context, shape, adapter)
    readings = [shape.reading() for _ in requests]
    kind = "chat.completion.chunk" if body.stream else "chat.completion"
    head = Head(kind, context.request_id, adapter or opened.card.id, opened.card.digest)

    if body.stream:
        include_usage = body.stream_options is not None and body.stream_options.include_usage

        def frames() -> Frames:
            deltas = merge([measured(adapters, one, meter) for one in requests])
            return chat_frames(head, deltas, readings, opened.tokenizer, include_usage=include_usage)

        return EventStream(frames, keepalive_seconds=opened.settings.keepalive_seconds)

    async def whole() -> bytes:
        deltas = merge([measured(adapters, one, meter) for one in requests])
        return await chat_object(head, deltas, readings, opened.tokenizer)

    return JsonAnswer(whole)
