"""The vLLM engine against a fake of the server (fake_server.py): what is asked, what comes back, how a death is seen and healed.

The real server is in test_contract.py and test_vllm_server.py, under `make test-vllm`.
"""

import asyncio
import os
import sys
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import structlog
from slipway_generator.engine import Constraint, Delta, GenerateRequest, Sampling
from slipway_generator.engines.choice import open_model
from slipway_generator.engines.vllm.engine import VllmEngine
from slipway_generator.model import StartRefused, identify
from slipway_generator.opened import Opened
from slipway_generator.settings import Settings
from slipway_shared import errors

DIE, HANG, NOISE, REFUSE = 201, 202, 203, 204  # fake_server.py's orders
Opening = Callable[..., AbstractAsyncContextManager[Opened]]


@pytest.fixture
def fake_python(tmp_path: Path) -> Path:
    """What stands where a Python with vLLM would."""
    path = tmp_path / "python"
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{Path(__file__).with_name("fake_server.py")}" "$@"\n', encoding="utf-8")
    path.chmod(0o755)
    return path


@pytest.fixture
def opening(hub_folder: Path, fake_python: Path) -> Opening:
    @asynccontextmanager
    async def opened(**settings: Any) -> AsyncGenerator[Opened]:
        chosen = Settings(model=str(hub_folder), vllm_python=settings.pop("vllm_python", str(fake_python)), **settings)
        one = await open_model(identify(chosen), chosen, structlog.get_logger())
        try:
            yield one
        finally:
            await one.engine.aclose()

    return opened


def request(*prompt: int, max_tokens: int = 6, **fields: Any) -> GenerateRequest:
    return GenerateRequest(id="r1", prompt=prompt, max_tokens=max_tokens, **fields)


async def collect(opened: Opened, asked: GenerateRequest) -> list[Delta]:
    async with aclosing(opened.engine.generate(asked)) as deltas:
        return [delta async for delta in deltas]


async def seen(opened: Opened) -> dict[str, Any]:
    assert isinstance(opened.engine, VllmEngine)
    async with aiohttp.ClientSession() as session, session.get(f"{opened.engine.base}/seen") as response:
        return await response.json()


async def eventually(check: Callable[[], bool], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < end, "it did not come true"
        await asyncio.sleep(0.02)


async def test_tokens_come_back_as_text_with_exact_counts(opening: Opening) -> None:
    async with opening() as opened:
        prompt = tuple(opened.tokenizer.encode("the quick fox"))
        deltas = await collect(opened, request(*prompt, max_tokens=len(prompt)))
    assert "".join(delta.text for delta in deltas) == "the quick fox"
    last = deltas[-1]
    assert last.finish == "length"
    assert last.counts is not None
    assert (last.counts.prompt, last.counts.completion, last.counts.cached) == (len(prompt), len(prompt), 3)


async def test_what_is_asked_names_tenant_sampling_and_form(opening: Opening) -> None:
    sampling = Sampling(temperature=0.5, top_p=0.9, top_k=4, min_p=0.1, logit_bias=((5, -3.0),), seed=9)
    lark = Constraint("lark", 'start: "a"')
    async with opening() as opened:
        await collect(opened, request(7, 8, sampling=sampling, tenant="acme", priority=-2, stops=("zz",), constraint=lark, logprobs=2))
        told = await seen(opened)
    body = told["bodies"][-1]
    assert body["cache_salt"] == "acme"
    assert body["priority"] == -2
    assert body["structured_outputs"] == {"grammar": 'start: "a"'}
    assert (body["temperature"], body["top_p"], body["top_k"], body["min_p"], body["seed"]) == (0.5, 0.9, 4, 0.1, 9)
    assert body["logit_bias"] == {"5": -3.0}
    assert body["logprobs"] == 3
    assert not [key for key in body if key.startswith("guided")]
    assert told["environment"]["HF_HUB_OFFLINE"] == "1"
    assert not [name for name in told["environment"] if name.startswith("SLIPWAY_")]


async def test_logprobs_are_sorted_and_as_many_as_wanted(opening: Opening) -> None:
    async with opening() as opened:
        deltas = await collect(opened, request(9, logprobs=2, max_tokens=1))
        scored = await collect(opened, request(9, 10, 11, prompt_logprobs=1, max_tokens=0))
    [entry] = deltas[0].logprobs
    assert entry.token == 9
    assert entry.logprob == -0.7
    assert entry.top == ((1, -0.1), (2, -0.2))
    assert scored[0].prompt_logprobs is not None
    assert scored[0].prompt_logprobs[0] is None
    assert [one.top for one in scored[0].prompt_logprobs[1:] if one] == [((7, -0.25),), ((7, -0.25),)]
    assert scored[-1].counts is not None
    assert scored[-1].counts.completion == 0


async def test_a_stop_string_across_tokens_ends_the_answer_before_it(opening: Opening) -> None:
    async with opening() as opened:
        prompt = tuple(opened.tokenizer.encode("the quick brown fox jumps"))
        deltas = await collect(opened, request(*prompt, max_tokens=len(prompt), stops=("k bro",)))
    assert "".join(delta.text for delta in deltas) == "the quic"
    assert deltas[-1].finish == "stop"


async def test_an_end_token_is_not_counted(opening: Opening) -> None:
    async with opening() as opened:
        end = opened.tokenizer.specials["<|im_end|>"]
        fox = opened.tokenizer.encode("fox")[0]
        deltas = await collect(opened, request(fox, end, fox, max_tokens=3))
    assert deltas[-1].finish == "stop"
    assert deltas[-1].counts is not None
    assert deltas[-1].counts.completion == 1


async def test_a_caller_that_leaves_ends_the_sequence(opening: Opening) -> None:
    async with opening() as opened:
        deltas = opened.engine.generate(request(5, max_tokens=900))
        await anext(deltas)
        assert (await seen(opened))["streams"] == 1
        assert opened.engine.load().running == 1
        await deltas.aclose()
        assert opened.engine.load().running == 0
        for _ in range(200):
            if (await seen(opened))["streams"] == 0:
                break
            await asyncio.sleep(0.02)
        assert (await seen(opened))["streams"] == 0


async def test_a_death_ends_streams_with_an_error_and_is_healed(opening: Opening) -> None:
    async with opening() as opened:
        engine = opened.engine
        with pytest.raises(errors.UpstreamFailed):
            await collect(opened, request(DIE))
        await eventually(lambda: engine.load().problem is not None)
        await eventually(lambda: engine.load().problem is None)
        assert (await collect(opened, request(5)))[-1].finish == "length"


async def test_silence_noise_and_refusals_are_told_apart(opening: Opening) -> None:
    async with opening(vllm_idle_seconds=0.6) as opened:
        with pytest.raises(errors.UpstreamFailed, match="silent"):
            await collect(opened, request(HANG))
        with pytest.raises(errors.DeadlineExceeded):
            await collect(opened, request(HANG, deadline=time.monotonic() + 0.3))
        with pytest.raises(errors.UpstreamFailed, match="no JSON"):
            await collect(opened, request(NOISE))
        with pytest.raises(errors.BadRequest, match="the fake refuses"):
            await collect(opened, request(REFUSE))
        assert opened.engine.load().running == 0
        assert opened.engine.load().problem is None


async def test_a_full_queue_is_refused_at_once(opening: Opening) -> None:
    async with opening(max_sequences=1, max_waiting=0) as opened:
        first = opened.engine.generate(request(5, max_tokens=900))
        await anext(first)
        with pytest.raises(errors.QueueFull) as refused:
            await collect(opened, request(6))
        assert refused.value.retry_after_seconds
        await first.aclose()
        assert (await collect(opened, request(6)))[-1].finish == "length"


async def test_speculation_refuses_what_vllm_would_ignore(opening: Opening) -> None:
    async with opening(vllm_speculative='{"method":"ngram","num_speculative_tokens":4}') as opened:
        for sampling in (Sampling(temperature=1, min_p=0.1), Sampling(logit_bias=((5, 1.0),))):
            with pytest.raises(errors.BadRequest) as refused:
                await collect(opened, request(5, sampling=sampling))
            assert refused.value.error_code == "unsupported_parameter"


async def test_what_the_server_counts_of_its_speculation_only_grows_over_a_death(opening: Opening) -> None:
    async with opening() as opened:

        def counted() -> tuple[int, int]:
            load = opened.engine.load()
            return load.drafted, load.accepted

        await collect(opened, request(1, 2, 3))
        await eventually(lambda: counted() == (16, 6))  # the request that proves a start is the first
        with pytest.raises(errors.UpstreamFailed):
            await collect(opened, request(DIE, 2))
        await eventually(lambda: counted()[0] > 16)
        drafted, accepted = counted()
        assert drafted >= 24
        assert 3 * drafted == 8 * accepted


async def test_a_form_that_cannot_be_kept_is_refused_before_it_is_sent(opening: Opening) -> None:
    async with opening() as opened:
        with pytest.raises(errors.BadRequest):
            await collect(opened, request(5, constraint=Constraint("json_schema", '{"type":"array","uniqueItems":true}')))
        assert all("structured_outputs" not in body for body in (await seen(opened))["bodies"])


async def test_a_start_that_fails_says_why(opening: Opening) -> None:
    with pytest.raises(StartRefused, match="told to fail"):
        async with opening(vllm_args="--fail"):
            pass
    with pytest.raises(StartRefused, match="SLIPWAY_GENERATOR_VLLM_PYTHON"):
        async with opening(vllm_python="/nowhere/python"):
            pass


async def test_nothing_is_left_running(opening: Opening) -> None:
    async with opening() as opened:
        assert isinstance(opened.engine, VllmEngine)
        process = opened.engine.process_id
        assert process is not None
        os.kill(process, 0)
        base = opened.engine.base
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientError):
            await session.get(f"{base}/v1/models")


async def test_a_running_server_is_attached_and_left_running(opening: Opening) -> None:
    async with opening() as owned:
        assert isinstance(owned.engine, VllmEngine)
        async with opening(vllm_url=f"{owned.engine.base}/v1") as attached:
            assert (await collect(attached, request(5)))[-1].finish == "length"
        assert (await collect(owned, request(5)))[-1].finish == "length"
