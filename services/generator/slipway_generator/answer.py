"""From deltas to a chat answer: the streamed frames, or the one object that says the same.

Both are made by the same `Reading` of the text, so that joined frames equal the object. It refuses to know engines and HTTP.
"""

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

import orjson
from slipway_shared.dialect import sse

from slipway_generator.engine import Counts, Delta
from slipway_generator.merged import Indexed
from slipway_generator.probabilities import chat_content
from slipway_generator.reading import Reading
from slipway_generator.tokenizer import Tokenizer


class Head:
    """What every frame of an answer repeats."""

    def __init__(self, kind: str, request_id: str, model: str, digest: str) -> None:
        self.fields: dict[str, Any] = {
            "id": f"{'chatcmpl' if kind.startswith('chat') else 'cmpl'}-{request_id}",
            "object": kind,
            "created": int(time.time()),
            "model": model,
            "system_fingerprint": digest,
        }


class Tally:
    """Usage of all sequences of a request; the prompt counts once."""

    def __init__(self) -> None:
        self._counts: list[Counts] = []

    def add(self, delta: Delta) -> None:
        """Note a sequence's end."""
        if delta.counts is not None:
            self._counts.append(delta.counts)

    def usage(self, prompts: int = 1) -> dict[str, Any]:
        """OpenAI's usage object; `prompts` is how many different prompts the sequences came from."""
        each = max(1, len(self._counts) // prompts)
        prompt = sum(counts.prompt for counts in self._counts) // each
        completion = sum(counts.completion for counts in self._counts)
        cached = max((counts.cached for counts in self._counts), default=0) if prompts == 1 else sum(c.cached for c in self._counts) // each
        # Of several answers to one prompt, the first pays for the prefill and the others find it cached: only what the first found was cached before.
        if prompts == 1 and len(self._counts) > 1:
            cached = min(counts.cached for counts in self._counts)
        return {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "prompt_tokens_details": {"cached_tokens": cached},
        }


async def chat_object(head: Head, deltas: AsyncGenerator[Indexed], readings: Sequence[Reading], tokenizer: Tokenizer) -> bytes:
    """The non-streamed answer."""
    tally = Tally()
    logprobs: list[list[dict[str, Any]]] = [[] for _ in readings]
    finish = ["stop"] * len(readings)
    async with aclosing(deltas) as source:
        async for index, delta in source:
            readings[index].feed(delta.text)
            logprobs[index] += chat_content(tokenizer, delta.logprobs)
            if delta.finish is not None:
                readings[index].finish(delta.finish)
                finish[index] = readings[index].finish_reason(delta.finish)
                tally.add(delta)
    choices = [
        {
            "index": index,
            "message": reading.message(),
            "logprobs": {"content": logprobs[index], "refusal": None} if logprobs[index] else None,
            "finish_reason": finish[index],
        }
        for index, reading in enumerate(readings)
    ]
    return orjson.dumps({**head.fields, "choices": choices, "usage": tally.usage()})


async def chat_frames(
    head: Head, deltas: AsyncGenerator[Indexed], readings: Sequence[Reading], tokenizer: Tokenizer, *, include_usage: bool
) -> AsyncGenerator[bytes]:
    """The streamed answer, frame by frame, without the closing `[DONE]`."""
    tally = Tally()
    tail: dict[str, Any] = {"usage": None} if include_usage else {}
    begun = [False] * len(readings)

    def chunk(index: int, delta: dict[str, Any], logprobs: list[dict[str, Any]], finish: str | None) -> bytes:
        choice = {
            "index": index,
            "delta": delta,
            "logprobs": {"content": logprobs, "refusal": None} if logprobs else None,
            "finish_reason": finish,
        }
        return sse.frame({**head.fields, "choices": [choice], **tail})

    async with aclosing(deltas) as source:
        async for index, delta in source:
            reading = readings[index]
            parts = reading.feed(delta.text)
            if delta.finish is not None:
                parts += reading.finish(delta.finish)
                tally.add(delta)
            logprobs = chat_content(tokenizer, delta.logprobs)
            if not begun[index]:
                begun[index] = True
                yield chunk(index, {"role": "assistant", "content": ""}, [], None)
            for part in parts:
                yield chunk(index, part, logprobs, None)
                logprobs = []
            if logprobs:
                yield chunk(index, {}, logprobs, None)
            if delta.finish is not None:
                yield chunk(index, {}, [], reading.finish_reason(delta.finish))
    if include_usage:
        yield sse.frame({**head.fields, "choices": [], "usage": tally.usage()})
