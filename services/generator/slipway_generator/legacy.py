"""From deltas to a plain completion: the object, or frames. Choice `p * n + i` is answer i to prompt p.

It refuses to know engines and HTTP.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import orjson
from slipway_shared.dialect import sse

from slipway_generator.answer import Head, Tally
from slipway_generator.engine import Delta, GenerateRequest, TokenLogprob
from slipway_generator.merged import Indexed
from slipway_generator.probabilities import completion_lists
from slipway_generator.tokenizer import Tokenizer, decode


@dataclass
class _Choice:
    text: str = ""
    tokens: list[int] = field(default_factory=list[int])
    logprobs: list[TokenLogprob | None] = field(default_factory=list[TokenLogprob | None])
    finish: str = "length"


class Legacy:
    """The choices of one completion request as they grow."""

    def __init__(self, head: Head, requests: list[GenerateRequest], tokenizer: Tokenizer, *, echo: bool, prompts: int) -> None:
        self._head = head
        self._requests = requests
        self._tokenizer = tokenizer
        self._echo = echo
        self._prompts = prompts
        self._tally = Tally()
        self._choices = [_Choice() for _ in requests]
        if echo:
            for choice, request in zip(self._choices, requests, strict=True):
                choice.text = decode(tokenizer, request.prompt)

    async def object(self, deltas: AsyncGenerator[Indexed]) -> bytes:
        """The non-streamed answer."""
        async with aclosing(deltas) as source:
            async for index, delta in source:
                self._take(index, delta)
        choices = [self._whole(index) for index in range(len(self._choices))]
        return orjson.dumps({**self._head.fields, "choices": choices, "usage": self._tally.usage(self._prompts)})

    async def frames(self, deltas: AsyncGenerator[Indexed], *, include_usage: bool) -> AsyncGenerator[bytes]:
        """The streamed answer without the closing `[DONE]`."""
        tail: dict[str, Any] = {"usage": None} if include_usage else {}
        begun = [False] * len(self._choices)
        async with aclosing(deltas) as source:
            async for index, delta in source:
                before = "" if begun[index] else self._choices[index].text
                offset = len(self._choices[index].text)
                begun[index] = True
                self._take(index, delta)
                choice = {
                    "index": index,
                    "text": before + delta.text,
                    "logprobs": completion_lists(self._tokenizer, delta.logprobs, delta.tokens, offset) if delta.logprobs else None,
                    "finish_reason": delta.finish,
                }
                if choice["text"] or choice["logprobs"] or delta.finish is not None:
                    yield sse.frame({**self._head.fields, "choices": [choice], **tail})
        if include_usage:
            yield sse.frame({**self._head.fields, "choices": [], "usage": self._tally.usage(self._prompts)})

    def _take(self, index: int, delta: Delta) -> None:
        choice = self._choices[index]
        if delta.prompt_logprobs is not None and self._echo:
            choice.tokens += self._requests[index].prompt
            choice.logprobs += delta.prompt_logprobs
        choice.text += delta.text
        if delta.logprobs:
            choice.tokens += delta.tokens
            choice.logprobs += delta.logprobs
        if delta.finish is not None:
            choice.finish = delta.finish
            self._tally.add(delta)

    def _whole(self, index: int) -> dict[str, Any]:
        choice = self._choices[index]
        wanted = self._requests[index].logprobs is not None
        return {
            "index": index,
            "text": choice.text,
            "logprobs": completion_lists(self._tokenizer, choice.logprobs, choice.tokens, 0) if wanted else None,
            "finish_reason": choice.finish,
        }
