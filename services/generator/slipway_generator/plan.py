"""From a validated chat or completion request to what the engine shall do: prompt ids, limits, sampling.

It knows the dialect's defaults and where a request does not fit the model. It refuses to know engines and answers.
"""

import asyncio
import secrets
import time
from collections.abc import Sequence

from slipway_shared import errors
from slipway_shared.context import RequestContext
from slipway_shared.dialect.chat import ChatRequest

from slipway_generator.completion import CompletionRequest
from slipway_generator.engine import GenerateRequest, Sampling
from slipway_generator.opened import Opened
from slipway_generator.shape import Shape, messages_for
from slipway_generator.tokenizer import Piece, encode_prompt

INLINE_CHARS = 1 << 14
"""Longer prompts are tokenized in a thread, so that running streams do not wait for them."""


async def plan_chat(
    opened: Opened, body: ChatRequest, context: RequestContext, shape: Shape, adapter: str | None = None
) -> list[GenerateRequest]:
    """One request for each of the `n` answers; raises BadRequest and ContextOverflow."""
    messages = messages_for(opened.template, body.messages, shape)
    pieces = opened.template.render(messages, shape.tools if opened.template.knows_tools and shape.tools else None)
    prompt = await encode(opened, pieces)
    limit = fit(opened, prompt, body.token_limit)
    logprobs = (body.top_logprobs or 0) if body.logprobs else None
    return [
        GenerateRequest(
            id=f"{context.request_id}-{index}",
            prompt=prompt,
            max_tokens=limit,
            sampling=sampling(opened, body, index),
            stops=tuple(body.stops),
            logprobs=logprobs,
            constraint=shape.constraint,
            tenant=context.tenant,
            priority=body.priority,
            deadline=deadline(opened, context),
            adapter=adapter,
            stream=body.stream,
        )
        for index in range(body.n)
    ]


async def encode(opened: Opened, pieces: Sequence[Piece]) -> tuple[int, ...]:
    """The prompt's ids; a text that cannot fit whatever its tokens are is refused before it is tokenized."""
    chars = sum(len(piece.text) for piece in pieces)
    least = sum(len(piece.text.encode(errors="replace")) for piece in pieces if not piece.special) // opened.tokenizer.longest_piece_bytes
    if least > opened.card.context_tokens:
        raise overflow(opened.card.context_tokens, least, at_least=True)
    if chars <= INLINE_CHARS:
        return encode_prompt(opened.tokenizer, pieces)
    return await asyncio.to_thread(encode_prompt, opened.tokenizer, pieces)


def fit(opened: Opened, prompt: Sequence[int], asked: int | None) -> int:
    """How many tokens may be generated; ContextOverflow when the prompt, or prompt and limit together, are longer than the context."""
    context = opened.card.context_tokens
    if not prompt:
        raise errors.BadRequest("The prompt is empty.", param="prompt")
    if len(prompt) >= context:
        raise overflow(context, len(prompt))
    if asked is not None and len(prompt) + asked > context:
        raise errors.ContextOverflow(
            f"This model's context is {context} tokens; the request asks for {len(prompt) + asked} "
            f"({len(prompt)} in the prompt, {asked} to generate). Shorten one of them.",
            param="max_tokens",
        )
    return asked if asked is not None else min(opened.settings.max_tokens, context - len(prompt))


def overflow(context: int, tokens: int, *, at_least: bool = False) -> errors.ContextOverflow:
    """The error of a prompt that does not fit, with the numbers."""
    return errors.ContextOverflow(
        f"This model's context is {context} tokens; the prompt has {'at least ' if at_least else ''}{tokens}. Shorten the prompt.",
        param="messages",
    )


def sampling(opened: Opened, body: ChatRequest | CompletionRequest, index: int) -> Sampling:
    """The request's sampling, with this model's default temperature. Answers of one request get different, reproducible seeds."""
    temperature = body.temperature if body.temperature is not None else default_temperature(opened)
    seed = body.seed
    return Sampling(
        temperature=temperature,
        top_p=body.top_p if body.top_p is not None else 1.0,
        top_k=body.top_k or 0,
        min_p=body.min_p or 0.0,
        presence_penalty=body.presence_penalty or 0.0,
        frequency_penalty=body.frequency_penalty or 0.0,
        repetition_penalty=body.repetition_penalty or 1.0,
        logit_bias=_bias(opened, body.logit_bias),
        seed=(seed + index) % (1 << 63) if seed is not None else secrets.randbits(62),
        seeded=seed is not None,
    )


def default_temperature(opened: Opened) -> float:
    """A reader quotes, so it is greedy; a chat model is not, unless told."""
    if opened.settings.temperature is not None:
        return opened.settings.temperature
    return 0.0 if opened.card.kind == "reader" or opened.card.engine == "echo" else 0.7


def deadline(opened: Opened, context: RequestContext) -> float:
    """When the request must have ended, on the monotonic clock."""
    latest = time.monotonic() + opened.settings.request_seconds
    return latest if context.deadline is None else min(context.deadline, latest)


def _bias(opened: Opened, bias: dict[str, float] | None) -> tuple[tuple[int, float], ...]:
    pairs = tuple((int(token), value) for token, value in (bias or {}).items())
    for token, _ in pairs:
        try:
            opened.tokenizer.piece(token)
        except ValueError:
            raise errors.BadRequest(f"logit_bias names token {token}, which this model does not have.", param="logit_bias") from None
    return pairs
