"""The same Idempotency-Key is one run, however many callers come at once, and never another tenant's or another body's."""

import asyncio
from typing import Any

import pytest
from slipway_gateway.idempotency import Idempotency, Kept
from slipway_shared import errors

BODY = {"model": "chat", "messages": [{"role": "user", "content": "What is the capital of France?"}]}


async def test_a_thousand_callers_are_one_run() -> None:
    runs = 0

    async def work() -> Kept:
        nonlocal runs
        runs += 1
        await asyncio.sleep(0.01)
        return Kept(b"answer", {})

    once = Idempotency(60)
    answers = await asyncio.gather(*(once.once("t", "/r", "k", b"body", work) for _ in range(1000)))
    assert runs == 1 and {kept.body for kept, _ in answers} == {b"answer"} and sum(not again for _, again in answers) == 1
    assert not (await once.once("other", "/r", "k", b"body", work))[1] and runs == 2
    with pytest.raises(errors.Conflict):
        await once.once("t", "/r", "k", b"another body", work)
    with pytest.raises(errors.BadRequest):
        await once.once("t", "/r", "a\nb", b"body", work)


async def test_a_run_that_failed_or_was_given_up_is_made_again_by_who_waits() -> None:
    runs = 0
    gate = asyncio.Event()

    async def work() -> Kept:
        nonlocal runs
        runs += 1
        await gate.wait()
        if runs == 1:
            raise errors.Overloaded("full")
        return Kept(b"answer", {})

    once = Idempotency(60)
    calls = [asyncio.create_task(once.once("t", "/r", "k", b"body", work)) for _ in range(3)]
    await asyncio.sleep(0)
    gate.set()
    first, *others = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(first, errors.Overloaded)
    assert sorted(again for _, again in others) == [False, True] and runs == 2  # type: ignore[misc]


async def test_over_http_the_generator_is_asked_once(platform: Any) -> None:
    headers = {**platform.auth, "idempotency-key": "order-66"}
    answers: list[tuple[bytes, str | None]] = []
    for _ in range(2):
        async with platform.client.post("/v1/chat/completions", json=BODY, headers=headers) as response:
            assert response.status == 200
            answers.append((await response.read(), response.headers.get("x-slipway-replayed")))
    assert answers[0][0] == answers[1][0] and [told for _, told in answers] == [None, "true"]
    assert len(platform.generator.seen) == 1
    async with platform.client.post("/v1/chat/completions", json={**BODY, "seed": 1}, headers=headers) as response:
        assert response.status == 409
    async with platform.client.post("/v1/chat/completions", json={**BODY, "stream": True}, headers=headers) as response:
        assert response.status == 400
