"""Static batches of the ONNX engine with the real library and the embedded flavor: what each request of a batch says is what it says alone."""

import asyncio
import json
import re
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import structlog
from slipway_generator.engine import Constraint, Delta, GenerateRequest, Sampling
from slipway_generator.engines.choice import open_model
from slipway_generator.engines.onnx import batch as batches
from slipway_generator.engines.onnx.native import Native
from slipway_generator.engines.onnx.sizing import Together, choose_together, pays
from slipway_generator.model import identify
from slipway_generator.opened import Opened
from slipway_generator.settings import Settings
from slipway_generator.tokenizer import Piece, encode_prompt
from slipway_shared import errors

FOLDER = Path(__file__).parents[2] / "models" / "slipway-reader-llama" / "int4-onnx"
TEXTS = (
    "What does the harbour of the city have? The harbour has nine piers and a lighthouse of stone.",
    "Who wrote it? The letter was written by the village teacher in the winter of 1911.",
    "Slipway serves small language models",
    "the quick brown fox jumps over the lazy dog",
)
GOES_ON = Sampling(logit_bias=((1, -100.0),))
"""A bias against the end token, so that an answer goes on to its limit."""
SCHEMA = {
    "type": "object",
    "properties": {"kind": {"enum": ["report", "letter"]}, "year": {"type": "integer", "minimum": 1900, "maximum": 2099}},
    "required": ["kind", "year"],
    "additionalProperties": False,
}
ROUNDING = 2e-2
"""Nats of a log-probability that the order of sums may change."""
Opening = Callable[..., AbstractAsyncContextManager[Opened]]


@pytest.fixture
def opening() -> Opening:
    pytest.importorskip("onnxruntime_genai", reason="onnxruntime-genai is not installed")

    @asynccontextmanager
    async def opened(onnx_batch: int | None = 4, **settings: Any) -> AsyncGenerator[Opened]:
        chosen = Settings(model=str(FOLDER), threads=1, onnx_batch=onnx_batch, **settings)
        one = await open_model(identify(chosen), chosen, structlog.get_logger())
        try:
            yield one
        finally:
            await one.engine.aclose()

    return opened


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """The lengths of the sequences of every batch that is made, as the scheduler makes it."""
    seen: list[list[int]] = []
    original = batches.Batch.__init__

    def noted(self: batches.Batch, native: Any, sequences: Any) -> None:
        original(self, native, sequences)
        seen.append([one.length for one in sequences])

    monkeypatch.setattr(batches.Batch, "__init__", noted)
    return seen


def ask(opened: Opened, text: str, *, tokens: int = 24, sampling: Sampling = GOES_ON, **fields: Any) -> GenerateRequest:
    return GenerateRequest(id="x", prompt=encode_prompt(opened.tokenizer, [Piece(text)]), max_tokens=tokens, sampling=sampling, **fields)


async def run(opened: Opened, request: GenerateRequest) -> list[Delta]:
    return [delta async for delta in opened.engine.generate(request)]


def hold_until(opened: Opened, count: int) -> None:
    """Let nobody sit before `count` requests wait, once: on a busy machine the first could be seated before the last is queued."""
    scheduler: Any = opened.engine
    scheduler = scheduler._scheduler
    original, end = scheduler._seat, time.monotonic() + 10

    def patient() -> None:
        while len(scheduler._waiting) < count and time.monotonic() < end:
            time.sleep(0.001)
        scheduler._seat = original
        original()

    scheduler._seat = patient


async def both(opened: Opened, requests: list[GenerateRequest]) -> tuple[list[list[Delta]], list[list[Delta]]]:
    """Each alone, one after the other and each for a tenant of its own (nothing is known of a prompt); then all at once, likewise."""
    alone = [await run(opened, replace(request, tenant=f"alone-{at}")) for at, request in enumerate(requests)]
    hold_until(opened, len(requests))
    together = await asyncio.gather(*(run(opened, replace(request, tenant=f"together-{at}")) for at, request in enumerate(requests)))
    return alone, together


def tokens(deltas: list[Delta]) -> list[int]:
    return [token for delta in deltas for token in delta.tokens]


def text(deltas: list[Delta]) -> str:
    return "".join(delta.text for delta in deltas)


def same_words(alone: list[Delta], together: list[Delta]) -> bool:
    """Whether both say the same; where they part, both chose from the same probabilities, to rounding. Needs `logprobs`.

    onnxruntime sums a row of several in another order than a row alone, so a tie may fall the other way (on AVX2 it does).
    """
    one, other = tokens(alone), tokens(together)
    if one == other:
        return True
    at = next(place for place, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1])
    likely = [[value for _, value in [score for delta in said for score in delta.logprobs][at].top] for said in (alone, together)]
    assert likely[1] == pytest.approx(likely[0], abs=ROUNDING)
    return False


@pytest.mark.parametrize(
    "sampling",
    [GOES_ON, Sampling(temperature=0.9, seed=3, logit_bias=((1, -100.0),)), Sampling(repetition_penalty=1.2, frequency_penalty=0.3)],
    ids=["greedy", "seeded", "penalties"],
)
async def test_a_batch_of_four_says_what_each_says_alone_whatever_its_limit(
    opening: Opening, made: list[list[int]], sampling: Sampling
) -> None:
    async with opening() as opened:
        requests = [ask(opened, one, tokens=12 + 9 * at, sampling=sampling, logprobs=2) for at, one in enumerate(TEXTS)]
        alone, together = await both(opened, requests)
        assert sorted(made[0]) == sorted(len(request.prompt) for request in requests)
        same = [pair for pair in zip(alone, together, strict=True) if same_words(*pair)]
        assert len(same) >= len(TEXTS) - 1
        for one, other in same:
            assert text(other) == text(one)
            assert other[-1].finish == one[-1].finish
            assert other[-1].counts == one[-1].counts
        # Streamed: a delta a token, not an answer in a lump.
        assert all(len(one) >= len(tokens(one)) for one in together)


async def test_each_row_ends_on_its_own_stop_and_the_end_token(opening: Opening, made: list[list[int]]) -> None:
    async with opening() as opened:
        said = text(await run(opened, ask(opened, TEXTS[0], tokens=40)))
        stop = said[len(said) // 2 : len(said) // 2 + 4]
        biased = Sampling(logit_bias=((1, 100.0),))
        requests = [
            ask(opened, TEXTS[0], tokens=40, stops=(stop,)), ask(opened, TEXTS[1], sampling=biased), ask(opened, TEXTS[2], tokens=30),
        ]  # fmt: skip
        alone, together = await both(opened, requests)
        assert len(made[0]) == 3
        assert [text(one) for one in together] == [text(one) for one in alone]
        assert text(together[0]) == said[: said.index(stop)]
        assert text(together[1]) == ""
        assert [one[-1].finish for one in together] == ["stop", "stop", "length"]


async def test_log_probabilities_and_forms_hold_in_a_batch(opening: Opening, made: list[list[int]]) -> None:
    form = Constraint("json_schema", json.dumps(SCHEMA))
    async with opening() as opened:
        requests = [
            ask(opened, TEXTS[0], logprobs=2), ask(opened, TEXTS[1], tokens=60, sampling=Sampling(), constraint=form),
            ask(opened, TEXTS[2], tokens=60, sampling=Sampling(temperature=1.0, seed=9), constraint=form), ask(opened, TEXTS[3], logprobs=0),
        ]  # fmt: skip
        alone, together = await both(opened, requests)
        assert len(made[0]) == 4
        assert [tokens(one) for one in together] == [tokens(one) for one in alone]
        for at in (0, 3):
            kept = [[score for delta in one[at] for score in delta.logprobs] for one in (alone, together)]
            assert len(kept[1]) == 24
            assert [score.logprob for score in kept[1]] == pytest.approx([score.logprob for score in kept[0]], abs=ROUNDING)
            assert [[token for token, _ in score.top] for score in kept[1]] == [[token for token, _ in score.top] for score in kept[0]]
        for at in (1, 2):
            jsonschema.validate(json.loads(text(together[at])), SCHEMA)


async def test_the_last_of_a_batch_goes_on_alone_when_ended_rows_have_cost_as_much(opening: Opening, made: list[list[int]]) -> None:
    async with opening() as opened:
        requests = [ask(opened, TEXTS[2], tokens=200), *(ask(opened, one, tokens=3) for one in TEXTS[:3])]
        alone, together = await both(opened, requests)
        assert len(made) == 1
        assert [tokens(one) for one in together] == [tokens(one) for one in alone]
        assert len(tokens(together[0])) == 200
        assert opened.engine.load().running == opened.engine.load().waiting == 0
        # The place that it went to knows it now.
        counts = (await run(opened, replace(requests[0], tenant="together-0")))[-1].counts
        assert counts is not None
        assert counts.cached == counts.prompt - 1


async def test_a_batch_that_reaches_the_end_of_the_context_goes_on_in_other_places(opening: Opening, made: list[list[int]]) -> None:
    """The prompts differ by 40 tokens and the shorter may say 40 more, so that padding takes them beyond the context."""
    async with opening(context_tokens=256) as opened:
        fox = opened.tokenizer.encode(" fox")
        prompts = [tuple(fox * size)[:size] for size in (200, 160)]
        requests = [GenerateRequest(id="x", prompt=one, max_tokens=256 - len(one), sampling=GOES_ON) for one in prompts]
        alone, together = await both(opened, requests)
        assert made[0] == [200, 160]
        assert [len(tokens(one)) for one in together] == [56, 96]
        assert [tokens(one) for one in together] == [tokens(one) for one in alone]


async def test_who_leaves_a_batch_or_breaks_its_form_ends_for_itself(opening: Opening, made: list[list[int]]) -> None:
    async with opening() as opened:
        requests = [ask(opened, one, tokens=120) for one in TEXTS[:3]]
        expected = [tokens(await run(opened, replace(request, tenant="alone"))) for request in requests]

        async def leave(request: GenerateRequest) -> None:
            generator = opened.engine.generate(request)
            async for delta in generator:
                if delta.tokens:
                    break
            await generator.aclose()

        hold_until(opened, 4)
        overdue = replace(requests[2], tenant="late", deadline=0.0)
        left, late, *stayed = await asyncio.gather(
            leave(requests[0]), run(opened, overdue), run(opened, requests[1]), run(opened, requests[2]), return_exceptions=True
        )
        assert left is None
        assert isinstance(late, errors.DeadlineExceeded)
        assert len(made[0]) == 3
        assert [tokens(one) for one in stayed if isinstance(one, list)] == expected[1:]
        assert opened.engine.load().running == 0


async def test_many_answers_come_through_few_seats(opening: Opening, made: list[list[int]]) -> None:
    async with opening() as opened:
        requests = [ask(opened, TEXTS[at % 4], tokens=6 + at * 5 % 17) for at in range(14)]
        alone, together = await both(opened, requests)
        assert [tokens(one) for one in together] == [tokens(one) for one in alone]
        assert len(made) >= 2
        assert max(map(len, made)) <= 4


async def test_without_batches_each_has_a_place_of_its_own(opening: Opening, made: list[list[int]]) -> None:
    async with opening(onnx_batch=1) as opened:
        alone, together = await both(opened, [ask(opened, one) for one in TEXTS])
        assert made == []
        assert [tokens(one) for one in together] == [tokens(one) for one in alone]


def test_the_size_of_a_batch_is_as_set_or_as_measured() -> None:
    pytest.importorskip("onnxruntime_genai", reason="onnxruntime-genai is not installed")
    native = Native(FOLDER, 1024, 1)
    assert choose_together(native, 1, 8) == Together(1, 0.0, "as set")
    asked = choose_together(native, 8, 4)
    assert (asked.most, asked.reason) == (4, "as set")
    assert 0 < asked.gather_seconds <= 5e-3
    assert choose_together(native, None, 1).most == 1
    measured = choose_together(native, None, 8)
    assert measured.most in (1, 2, 4)
    assert len(re.findall(r"[0-9.]+ ms", measured.reason)) == 2
    assert ("do not pay" in measured.reason) == (measured.most == 1)
    assert pays(3.0e-3, 1.7e-3)
    assert not pays(3.0e-3, 2.6e-3)  # hardly less
    assert not pays(0.2e-3, 0.1e-3)  # half, of next to nothing
    native.filling = None
    assert choose_together(native, 4, 8).most == 1


async def test_the_interpreter_is_free_while_a_prompt_is_read(opening: Opening) -> None:
    """Through the package's Python binding nothing else of the process would run meanwhile."""
    async with opening() as opened:
        fox = opened.tokenizer.encode(" fox")
        request = GenerateRequest(id="x", prompt=tuple(fox * 1000)[:1000], max_tokens=4, sampling=GOES_ON)
        longest, last = 0.0, time.perf_counter()
        answer = asyncio.ensure_future(run(opened, request))
        started = last
        while not answer.done():
            await asyncio.sleep(0)
            now = time.perf_counter()
            longest, last = max(longest, now - last), now
        assert longest < 0.5 * (last - started)
        assert len(tokens(answer.result())) == 4
