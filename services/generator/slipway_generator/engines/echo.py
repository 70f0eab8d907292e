"""An engine without weights: it says the last user message again, token by token.

Deterministic, with a tokenizer that needs no vocabulary (`byteruns`), so that the real process runs in tests, compose files and load tests.
It honours stop strings, limits, deadlines and seeds (a seed at a temperature above 0 shuffles the tokens), and can be paced.
"""

import asyncio
import random
import time
from collections.abc import AsyncGenerator

from slipway_shared import errors

from slipway_generator.engine import Counts, Delta, EngineLoad, FinishReason, GenerateRequest, Timing, TokenLogprob
from slipway_generator.engines.byteruns import SPECIALS, TEMPLATE, ByteRuns
from slipway_generator.engines.places import Places
from slipway_generator.model import ModelCard
from slipway_generator.opened import Opened
from slipway_generator.settings import Settings
from slipway_generator.spelling import Spelling
from slipway_generator.template import ChatTemplate


class EchoEngine:
    """Engine protocol over nothing but the prompt."""

    def __init__(self, settings: Settings) -> None:
        self._first_seconds = settings.echo_first_seconds
        self._gap_seconds = settings.echo_gap_seconds
        self._places = Places(settings.max_sequences, settings.max_waiting)
        self._tokenizer = ByteRuns()

    async def start(self) -> None:
        """Nothing to load."""

    async def aclose(self) -> None:
        """Nothing to free."""

    def load(self) -> EngineLoad:
        return EngineLoad(self._places.running, self._places.waiting, self._places.running / self._places.count)

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[Delta]:
        if request.constraint is not None:
            raise errors.BadRequest("The echo engine cannot keep to a schema.", param="response_format", code="unsupported_parameter")
        arrived = time.monotonic()
        async with self._places.one(request.deadline):
            queued = time.monotonic() - arrived
            async for delta in self._say(request, Timing(queue_seconds=queued, prefill_seconds=self._first_seconds)):
                yield delta

    async def _say(self, request: GenerateRequest, timing: Timing) -> AsyncGenerator[Delta]:
        spelling = Spelling(request.stops)
        planned = _answer(request)
        finish: FinishReason = "length" if len(planned) > request.max_tokens else "stop"
        said = 0
        pending: Delta | None = None
        for token in planned[: request.max_tokens]:
            await self._pace(request, said)
            if pending is not None:
                yield pending
            said += 1
            text = spelling.feed(self._tokenizer.piece(token))
            pending = Delta(text, (token,), _certain(request, token), prompt_logprobs=_certain_prompt(request) if said == 1 else None)
            if spelling.stopped:
                finish = "stop"
                break
        counts = Counts(prompt=len(request.prompt), completion=said)
        last = pending or Delta(prompt_logprobs=_certain_prompt(request))
        yield Delta(last.text + spelling.finish(), last.tokens, last.logprobs, finish, counts, timing, last.prompt_logprobs)

    async def _pace(self, request: GenerateRequest, said: int) -> None:
        wait = self._gap_seconds if said else self._first_seconds
        if request.deadline is not None and time.monotonic() + wait > request.deadline:
            await asyncio.sleep(max(0.0, request.deadline - time.monotonic()))
            raise errors.DeadlineExceeded("The request's deadline passed before the answer was complete.")
        await asyncio.sleep(wait)


async def open_echo(card: ModelCard, settings: Settings) -> Opened:
    """The echo engine with its tokenizer and template."""
    engine = EchoEngine(settings)
    await engine.start()
    tokenizer = ByteRuns()
    return Opened(card, engine, tokenizer, ChatTemplate(TEMPLATE, tuple(SPECIALS)), settings)


def _answer(request: GenerateRequest) -> list[int]:
    """The last user turn of the prompt, or all of a prompt that has no turns."""
    prompt = request.prompt
    ids = set(SPECIALS.values())
    starts = [at + 1 for at, token in enumerate(prompt) if token == SPECIALS["<|user|>"]]
    turn = prompt[starts[-1] :] if starts else prompt
    end = next((at for at, token in enumerate(turn) if token in ids), len(turn))
    answer = list(turn[:end])
    if request.sampling.temperature > 0 and request.sampling.seed is not None:
        random.Random(request.sampling.seed).shuffle(answer)  # noqa: S311 (a reproducible order, not a secret)
    return answer


def _certain(request: GenerateRequest, token: int) -> tuple[TokenLogprob, ...]:
    if request.logprobs is None:
        return ()
    return (TokenLogprob(token, 0.0, ((token, 0.0),) if request.logprobs else ()),)


def _certain_prompt(request: GenerateRequest) -> tuple[TokenLogprob | None, ...] | None:
    if request.prompt_logprobs is None:
        return None
    return (None, *(TokenLogprob(token, 0.0, ((token, 0.0),) if request.prompt_logprobs else ()) for token in request.prompt[1:]))
