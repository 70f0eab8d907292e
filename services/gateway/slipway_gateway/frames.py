"""A stream of SSE frames as bytes: cut, looked at, and made.

It knows where a frame ends and what stands in it. A frame that nobody changes is passed on byte for byte. It refuses to decide what is shown.
"""

import contextlib
import re
import secrets
import time
from collections.abc import AsyncGenerator, Callable, Iterable
from functools import partial
from typing import Any

import orjson
from slipway_shared import errors
from slipway_shared.dialect import sse

from slipway_gateway.answer import Answer, WireError
from slipway_gateway.judge import Outcome
from slipway_gateway.upstream import Upstream

_ENDS = (b"\n\n", b"\r\n\r\n")


class Frame:
    """One event as it came. `document` is parsed when it is first asked for; comments and `[DONE]` have none."""

    __slots__ = ("_document", "_parsed", "raw")

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self._parsed = False
        self._document: dict[str, Any] | None = None

    @property
    def done(self) -> bool:
        """Whether this is the frame that ends a good stream."""
        return self.raw.startswith((b"data: [DONE]", b"data:[DONE]"))

    @property
    def document(self) -> dict[str, Any] | None:
        """The JSON object of the frame; raises UpstreamFailed when there should be one and is none."""
        if not self._parsed:
            self._parsed = True
            self._document = _parse(self.raw)
        return self._document

    @property
    def choices(self) -> list[dict[str, Any]]:
        """The deltas that the frame brings."""
        return (self.document or {}).get("choices") or []

    @property
    def usage(self) -> dict[str, Any] | None:
        """The exact usage, in the frame that carries it. Frames without the word are not parsed."""
        if b'"usage"' not in self.raw or b'"usage":null' in self.raw:
            return None
        return (self.document or {}).get("usage")

    @property
    def finished(self) -> bool:
        """Whether a choice ends here."""
        return any(choice.get("finish_reason") for choice in self.choices)

    def text(self, index: int = 0) -> str:
        """What choice `index` says in this frame."""
        return "".join(said(c) for c in self.choices if c.get("index", 0) == index)


def said(choice: dict[str, Any]) -> str:
    """The text that a choice of a frame brings, of a chat (`delta.content`) or of a plain completion (`text`)."""
    return (choice.get("delta") or {}).get("content") or choice.get("text") or ""


def _parse(raw: bytes) -> dict[str, Any] | None:
    plain = raw.startswith(b"data: {") and raw.find(b"\n") == len(raw) - 2  # as most are: one line, and the empty one that ends it
    payload = raw[6:-2] if plain else next(sse.FrameReader().feed(raw), None)
    if payload is None or payload == b"[DONE]":
        return None
    try:
        document = orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        raise errors.UpstreamFailed("The generator sent a frame that is not JSON.") from error
    if not isinstance(document, dict):
        raise errors.UpstreamFailed("The generator sent a frame that is no object.")
    return document


class Cutter:
    """Cuts chunks of bytes, split anywhere, into whole frames, terminators included."""

    def __init__(self) -> None:
        self.rest = b""
        """What came after the last whole frame."""

    def feed(self, chunk: bytes) -> list[bytes]:
        """The frames that `chunk` completes."""
        if not self.rest and chunk.find(b"\n\n") == len(chunk) - 2 and b"\r" not in chunk:
            return [chunk]  # as most come: one, whole
        buffer = self.rest + chunk if self.rest else chunk
        out: list[bytes] = []
        start = 0
        while (end := _end(buffer, start)) >= 0:
            out.append(buffer[start:end])
            start = end
        self.rest = buffer[start:]
        if len(self.rest) > sse.MAX_FRAME_BYTES:
            raise errors.UpstreamFailed("The generator sent a frame without an end.")
        return out


def _end(buffer: bytes, start: int) -> int:
    ends = [at + len(mark) for mark in _ENDS if (at := buffer.find(mark, start)) >= 0]
    return min(ends, default=-1)


MAX_TOGETHER = 16
"""Frames that leave in one write at most, so that a limit on tokens cuts close to where it stands."""


_SAYS = re.compile(rb'"(?:content|text|arguments|reasoning|reasoning_content)" ?: ?"[^"]')
"""In a frame that brings something to read. The first one never waits for others."""
Take = Callable[[Cutter, bytes], bytes]
"""Takes bytes on, after those that lie in the cutter, and gives back what it did not take."""


async def batches(upstream: Upstream, answer: Answer, take: Take | None = None, *, slow: bool = False) -> AsyncGenerator[list[Frame]]:
    """The frames of `answer` as they come, those that came together in one list; `[DONE]` is the last of them. After the first token they may come a tick
    late, and go to `take` as far as it takes them.

    An error event, an early end and a broken connection raise: a cut is never a clean end. What came before them is given first.
    """
    cutter, begun = Cutter(), False
    try:
        while chunk := await answer.some():
            frames, failure = _cut(cutter, chunk)
            for start in range(0, len(frames), MAX_TOGETHER):
                yield frames[start : start + MAX_TOGETHER]
            if failure is not None:
                raise failure
            if frames and frames[-1].done:
                return
            if not begun and any(_SAYS.search(frame.raw) for frame in frames):
                begun = True
                answer.relax(slow=slow)
            if begun and take is not None:
                answer.pour(partial(take, cutter))
    except WireError as error:
        raise upstream.failure(error) from error
    raise errors.UpstreamFailed("The generator's stream ended before its end.")


def _cut(cutter: Cutter, chunk: bytes) -> tuple[list[Frame], errors.SlipwayError | None]:
    """The good frames that `chunk` completes, up to the end or to the first that is none, and what is wrong with that one."""
    frames: list[Frame] = []
    for raw in cutter.feed(chunk):
        if raw.startswith(b":"):
            continue  # a keep-alive of the generator's; we send our own
        frame = Frame(raw)
        if frame.done:
            return [*frames, frame], None
        if (failure := _problem(frame)) is not None:
            return frames, failure
        frames.append(frame)
    return frames, None


async def relay(upstream: Upstream, answer: Answer, *, slow: bool = False) -> AsyncGenerator[Frame]:
    """The same frames one by one. `slow`: they are looked at in groups, and may come a few ticks late."""
    async for batch in batches(upstream, answer, slow=slow):
        for frame in batch:
            yield frame


async def singly(frames: AsyncGenerator[Frame]) -> AsyncGenerator[list[Frame]]:
    """`frames`, each in a list of its own: for those who take them in groups where nobody groups."""
    async with contextlib.aclosing(frames):
        async for frame in frames:
            yield [frame]


def _problem(frame: Frame) -> errors.SlipwayError | None:
    """The error that a frame is or carries. Frames are not parsed to be relayed; garbage is told by its edges."""
    raw = frame.raw
    if raw.startswith(b"event: error") or raw.startswith(b'data: {"error"'):
        return errors.from_body(502, orjson.dumps(frame.document))
    if not raw.startswith(b"data:") or not raw.endswith((b"}\n\n", b"}\r\n\r\n")):
        return errors.UpstreamFailed("The generator sent a frame that is not JSON.")
    return None


class Writer:
    """Makes the frames of one answer that the gateway adds or says by itself. `like` gives id, model and time of an upstream's answer."""

    def __init__(self, model: str, like: dict[str, Any] | None = None) -> None:
        source = like or {}
        self._head = {
            "id": source.get("id") or f"chatcmpl-{secrets.token_hex(12)}",
            "object": "chat.completion.chunk",
            "created": source.get("created") or int(time.time()),
            "model": source.get("model") or model,
        }

    def delta(self, delta: dict[str, Any], finish_reason: str | None = None, index: int = 0) -> Frame:
        """One choice's delta as a frame."""
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return Frame(sse.frame({**self._head, "choices": [choice], "usage": None}))

    def usage(self, usage: dict[str, Any]) -> Frame:
        """The frame that carries nothing but the usage."""
        return Frame(sse.frame({**self._head, "choices": [], "usage": usage}))

    def said(self, outcome: Outcome, usage: dict[str, Any]) -> Iterable[Frame]:
        """A whole answer in the gateway's own words."""
        yield self.delta({"role": "assistant", "content": ""})
        yield self.delta({"content": outcome.text or ""})
        yield self.delta({"annotations": list(outcome.annotations)})
        yield self.delta({}, "stop")
        yield self.usage(usage)
        yield Frame(sse.DONE)

    def completion(self, outcome: Outcome, usage: dict[str, Any]) -> dict[str, Any]:
        """The same answer, not streamed."""
        message = {"role": "assistant", "content": outcome.text or "", "refusal": None, "annotations": list(outcome.annotations)}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
        return {**self._head, "object": "chat.completion", "choices": [choice], "usage": usage}


class TextWriter(Writer):
    """The same for `/v1/completions`, whose frames carry `text`."""

    def __init__(self, model: str) -> None:
        super().__init__(model)
        self._head |= {"id": f"cmpl-{secrets.token_hex(12)}", "object": "text_completion"}

    def delta(self, delta: dict[str, Any], finish_reason: str | None = None, index: int = 0) -> Frame:
        choice = {"index": index, "text": delta.get("content", ""), "logprobs": None, "finish_reason": finish_reason}
        return Frame(sse.frame({**self._head, "choices": [choice], "usage": None}))


def no_tokens() -> dict[str, Any]:
    """The usage of an answer that no model was asked for."""
    return {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0, "prompt_tokens_details": {"cached_tokens": 0}}
