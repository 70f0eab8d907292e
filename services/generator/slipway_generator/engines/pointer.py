"""A reader that points: an encoder looks at the question beside each passage and says where the answer begins and ends, or that there is none.

It quotes by construction: its answer is a span of one passage, followed by that passage's number. One forward pass answers a request, so there is no cache
and nothing to speculate; sampling has no meaning and is not looked at. It knows the numbered-passage prompt of `slipway_shared.grounding` and the files of a
pointer flavor (model.onnx or model.ort, tokenizer.json, pointer.json). It refuses to know HTTP, and how the weights came to be.
"""

import asyncio
import importlib
import json
import re
import time
from collections.abc import AsyncGenerator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from slipway_shared import errors
from slipway_shared.encoding.session import open_graph
from slipway_shared.grounding import NOT_IN_SOURCES

from slipway_generator import machine
from slipway_generator.engine import Counts, Delta, EngineLoad, FinishReason, GenerateRequest, Timing, TokenLogprob
from slipway_generator.engines.byteruns import SPECIALS, TEMPLATE, ByteRuns, turns
from slipway_generator.engines.places import Places
from slipway_generator.engines.spans import Decision, SpanFinder
from slipway_generator.model import ModelCard, StartRefused
from slipway_generator.opened import Opened
from slipway_generator.settings import Settings
from slipway_generator.spelling import Spelling
from slipway_generator.template import ChatTemplate

_NUMBERED = re.compile(r"^\[(\d{1,3})\] (.*)$", re.MULTILINE)


class PointerEngine:
    """Engine protocol over one span-finding graph; `threads` requests are read at once, the others wait."""

    def __init__(self, finder: SpanFinder, threads: int, settings: Settings) -> None:
        self._finder = finder
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="pointer")
        self._places = Places(threads, settings.max_waiting)
        self._tokenizer = ByteRuns()

    async def start(self) -> None:
        """The graph was opened before; the first run allocates its buffers."""
        await asyncio.get_running_loop().run_in_executor(self._pool, self._finder.find, "What is this?", ["This is a warm-up."])

    async def aclose(self) -> None:
        """Wait for the running pass and end the threads."""
        await asyncio.to_thread(self._pool.shutdown)

    def load(self) -> EngineLoad:
        return EngineLoad(self._places.running, self._places.waiting, self._places.running / self._places.count)

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[Delta]:
        if request.constraint is not None:
            raise errors.BadRequest("A pointer quotes and cannot keep to a schema.", param="response_format", code="unsupported_parameter")
        if request.prompt_logprobs is not None:
            raise errors.BadRequest("A pointer has no probabilities of its prompt.", param="echo", code="unsupported_parameter")
        arrived = time.monotonic()
        async with self._places.one(request.deadline):
            queued = time.monotonic() - arrived
            reply, logprob = await self._read(request)
            timing = Timing(queue_seconds=queued, prefill_seconds=time.monotonic() - arrived - queued)
        for delta in self._say(request, reply, logprob, timing):
            yield delta

    async def _read(self, request: GenerateRequest) -> tuple[str, float]:
        """The reply, and the log-probability of its span against "not held"."""
        numbers, passages, question = parts(request.prompt)
        reading = asyncio.get_running_loop().run_in_executor(self._pool, self._finder.find, question, passages)
        left = None if request.deadline is None else max(0.0, request.deadline - time.monotonic())
        try:
            found = await asyncio.wait_for(reading, left)
        except TimeoutError:
            raise errors.DeadlineExceeded("The request's deadline passed before the answer was complete.") from None
        if found is None or not found.held:
            return NOT_IN_SOURCES, found.log_none if found else 0.0
        return f"{found.text} [{numbers[found.passage]}]", found.log_held

    def _say(self, request: GenerateRequest, reply: str, logprob: float, timing: Timing) -> list[Delta]:
        """The reply token by token; the first token carries the whole log-probability, for what follows it is certain."""
        spelling = Spelling(request.stops)
        planned = self._tokenizer.encode(reply)
        finish: FinishReason = "length" if len(planned) > request.max_tokens else "stop"
        deltas: list[Delta] = []
        for place, token in enumerate(planned[: request.max_tokens]):
            text = spelling.feed(self._tokenizer.piece(token))
            deltas.append(Delta(text, (token,), _logprobs(request, token, 0.0 if place else logprob)))
            if spelling.stopped:
                finish = "stop"
                break
        last = deltas.pop() if deltas else Delta()
        counts = Counts(prompt=len(request.prompt), completion=len(deltas) + len(last.tokens))
        return [*deltas, Delta(last.text + spelling.finish(), last.tokens, last.logprobs, finish, counts, timing)]


def parts(prompt: Sequence[int]) -> tuple[list[int], list[str], str]:
    """(numbers, texts) of the passages in the system turns, and the last thing that the user said."""
    said = turns(prompt)
    found = [match for role, text in said if role == "system" for match in _NUMBERED.finditer(text)]
    question = next((text for role, text in reversed(said) if role == "user" and text.strip()), "")
    return [int(match.group(1)) for match in found], [match.group(2) for match in found], question.strip()


async def open_pointer(card: ModelCard, settings: Settings, log: Any) -> Opened:
    """Load the card's folder and start its engine; raises StartRefused."""
    threads = machine.choose_threads(settings.threads, machine.usable_cores())
    finder = await asyncio.to_thread(_open, card)
    log.info("pointer", threads=threads.count, threads_reason=threads.reason)
    engine = PointerEngine(finder, threads.count, settings)
    await engine.start()
    return Opened(card, engine, ByteRuns(), ChatTemplate(TEMPLATE, tuple(SPECIALS)), settings)


def _open(card: ModelCard) -> SpanFinder:
    if card.folder is None or not (card.folder / "pointer.json").is_file():
        raise StartRefused("engine pointer opens a folder that holds model.onnx, tokenizer.json and pointer.json.")
    try:
        importlib.import_module("onnxruntime")
        tokenizers: Any = importlib.import_module("tokenizers")
    except ImportError as error:
        raise StartRefused(f"{error.name} is not installed; install slipway-generator[onnx].") from error
    folder: Path = card.folder
    try:
        decision = Decision(**json.loads((folder / "pointer.json").read_text(encoding="utf-8")))
        graph = next(path for name in ("model.ort", "model.onnx") if (path := folder / name).is_file())
        session = open_graph(graph)  # a request is one pass on one thread; requests run beside each other
        return SpanFinder(session, tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json")), decision)
    except Exception as error:  # native parsers raise plain exceptions of many kinds; all mean: this folder cannot be served
        raise StartRefused(f"ONNX Runtime cannot load {card.id}: {str(error)[:300]}.") from error


def _logprobs(request: GenerateRequest, token: int, logprob: float) -> tuple[TokenLogprob, ...]:
    if request.logprobs is None:
        return ()
    return (TokenLogprob(token, logprob, ((token, logprob),) if request.logprobs else ()),)
