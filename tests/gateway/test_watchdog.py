"""The gateway proves by itself that its pools can be asked, while nobody asks them."""

import asyncio
from typing import Any


async def proved(platform: Any, wanted: str) -> None:
    """Until the metric says `wanted`."""
    line = f'slipway_pool_proved{{pool="default"}} {wanted}'
    async with asyncio.timeout(5):
        while True:
            async with platform.client.get("/metrics") as response:
                if line in await response.text():
                    return
            await asyncio.sleep(0.02)


async def test_a_quiet_pool_is_asked_for_one_token_and_a_dead_one_is_seen_and_seen_again(start: Any) -> None:
    async with start(watchdog_seconds=0.05, breaker_seconds=0.1, safety_url=None) as platform:
        await proved(platform, "1.0")
        asked = platform.generator.seen[-1]
        assert asked["max_tokens"] == 1 and asked["priority"] == 100
        platform.generator.down = True
        await proved(platform, "0.0")
        platform.generator.down = False
        await proved(platform, "1.0")


async def test_a_pool_that_refuses_the_request_is_there(start: Any) -> None:
    async with start(watchdog_seconds=0.05, safety_url=None) as platform:
        platform.generator.status = 400
        await proved(platform, "1.0")


async def test_a_pool_that_answers_callers_is_not_asked_besides_and_none_is_where_it_is_off(start: Any) -> None:
    async with start(watchdog_seconds=600, safety_url=None) as platform:
        await proved(platform, "1.0")
        seen = len(platform.generator.seen)
        await platform.chat()
        await asyncio.sleep(0.1)
        assert len(platform.generator.seen) == seen + 1
    async with start(watchdog_seconds=0, safety_url=None) as platform:
        await asyncio.sleep(0.1)
        assert not platform.generator.seen
