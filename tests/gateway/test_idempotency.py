"""The same Idempotency-Key is one run, however many callers come at once, and never another tenant's or another body's."""

import asyncio
from typing import Any

import pytest
from slipway_gateway.idempotency import Idempotency, Kept
from slipway_gateway.shelf import MemoryShelf
from slipway_shared import errors

BODY = {"model": "chat", "messages": [{"role": "user", "content": "What is the capital of France?"}]}


async def test_a_thousand_callers_are_one_run() -> None:
    runs = 0

    async def work() -> Kept:
        nonlocal runs
        runs += 1
        await asyncio.sleep(0.01)
        return Kept(b"answer", {})

    once = Idempotency(MemoryShelf(), 60)
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

    once = Idempotency(MemoryShelf(), 60)
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


@pytest.mark.parametrize("where", ["redis", "file"])
async def test_two_gateways_agree(where: str, start: Any, redis_server: Any, tmp_path: Any) -> None:
    common = {"redis_url": redis_server.url} if where == "redis" else {"state_file": tmp_path / "state"}
    async with start(**common) as one, start(**common) as two:
        one.generator.delay = two.generator.delay = 0.3
        headers = {**one.auth, "idempotency-key": "order-67"}

        async def ask(platform: Any, **more: Any) -> tuple[int, bytes, str | None]:
            async with platform.client.post("/v1/chat/completions", json={**BODY, **more}, headers=headers) as response:
                return response.status, await response.read(), response.headers.get("x-slipway-replayed")

        answers = await asyncio.gather(*(ask(platform) for platform in (one, two) * 5))
        assert {(status, body) for status, body, _ in answers} == {(200, answers[0][1])}
        assert sum(replayed is None for _, _, replayed in answers) == 1
        assert len(one.generator.seen) + len(two.generator.seen) == 1
        assert (await ask(two, seed=1))[0] == 409 and (await ask(one, seed=1))[0] == 409


async def test_a_process_that_died_at_work_is_followed_by_another() -> None:
    shelf = MemoryShelf()
    started = asyncio.Event()

    async def hang() -> Kept:
        started.set()
        await asyncio.sleep(3600)
        raise AssertionError

    async def work() -> Kept:
        return Kept(b"answer", {})

    dead = asyncio.create_task(Idempotency(shelf, 60).once("t", "/r", "k", b"body", hang))
    await started.wait()
    waiting = asyncio.create_task(Idempotency(shelf, 60).once("t", "/r", "k", b"body", work))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    dead.cancel()
    assert await waiting == (Kept(b"answer", {}), False)


async def test_while_the_shelf_is_away_each_process_is_on_its_own(start: Any, redis_server: Any) -> None:
    async with start(redis_url=redis_server.url) as platform:
        redis_server.stop()
        for _ in range(2):
            async with platform.client.post(
                "/v1/chat/completions", json=BODY, headers={**platform.auth, "idempotency-key": "x"}
            ) as response:
                assert response.status == 200
