"""`POST /v1/completions`: plain prompts, with echo and log-probabilities for evaluation harnesses."""

from fastapi import APIRouter, Request, Response
from slipway_shared import errors
from slipway_shared.context import RequestContext

from slipway_generator.answer import Head
from slipway_generator.channel import EventStream, Frames, JsonAnswer
from slipway_generator.completion import MAX_PROMPTS, CompletionRequest
from slipway_generator.engine import GenerateRequest
from slipway_generator.legacy import Legacy
from slipway_generator.measured import measured
from slipway_generator.merged import merge
from slipway_generator.opened import Opened
from slipway_generator.plan import deadline, encode, fit, sampling
from slipway_generator.routes import access
from slipway_generator.tokenizer import Piece

router = APIRouter()


@router.post("/v1/completions")
async def completions(body: CompletionRequest, request: Request) -> Response:
    """Continue one or several prompts."""
    opened, meter, context = access.opened(request), access.meter(request), access.context(request)
    adapters = access.adapters(request)
    adapter = adapters.resolve(body.model)
    requests = await _plan(opened, body, context, adapter)
    head = Head("text_completion", context.request_id, adapter or opened.card.id, opened.card.digest)
    legacy = Legacy(head, requests, opened.tokenizer, echo=body.echo, prompts=len(body.prompts))

    if body.stream:
        include_usage = body.stream_options is not None and body.stream_options.include_usage

        def frames() -> Frames:
            return legacy.frames(merge([measured(adapters, one, meter) for one in requests]), include_usage=include_usage)

        return EventStream(frames, keepalive_seconds=opened.settings.keepalive_seconds)

    return JsonAnswer(lambda: legacy.object(merge([measured(adapters, one, meter) for one in requests])))


async def _plan(opened: Opened, body: CompletionRequest, context: RequestContext, adapter: str | None) -> list[GenerateRequest]:
    prompts = body.prompts
    if len(prompts) * body.n > MAX_PROMPTS:
        raise errors.BadRequest(f"prompts times n must not exceed {MAX_PROMPTS}.", param="n")
    requests: list[GenerateRequest] = []
    for number, prompt in enumerate(prompts):
        ids = await _ids(opened, prompt)
        limit = fit(opened, ids, body.max_tokens)
        requests += [
            GenerateRequest(
                id=f"{context.request_id}-{number}-{index}",
                prompt=ids,
                max_tokens=limit,
                sampling=sampling(opened, body, index),
                stops=tuple(body.stops),
                logprobs=body.logprobs,
                prompt_logprobs=body.logprobs if body.echo else None,
                tenant=context.tenant,
                priority=body.priority,
                deadline=deadline(opened, context),
                adapter=adapter,
                stream=body.stream,
            )
            for index in range(body.n)
        ]
    return requests


async def _ids(opened: Opened, prompt: str | list[int]) -> tuple[int, ...]:
    if isinstance(prompt, str):
        if not prompt:
            raise errors.BadRequest("The prompt is empty.", param="prompt")
        return await encode(opened, [Piece(prompt)])
    for token in prompt:
        try:
            opened.tokenizer.piece(token)
        except ValueError as error:
            raise errors.BadRequest(f"{error}.", param="prompt") from None
    return tuple(prompt)
