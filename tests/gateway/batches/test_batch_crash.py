"""A gateway that is killed in the middle of a batch, again and again: each line stands once in the output, and nothing is lost."""

import asyncio
import contextlib
import os
import random
import signal
import socket
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

KEY = "test-key-of-the-local-tenant"
LINES = 60
KILLS = 3


@contextlib.asynccontextmanager
async def gateway(port: int, environ: dict[str, str]) -> AsyncGenerator[asyncio.subprocess.Process]:
    """`python -m slipway_gateway`, ready."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("SLIPWAY_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "slipway_gateway", "--port", str(port), env={**clean, **environ}, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        async with aiohttp.ClientSession() as client:
            while True:
                assert process.returncode is None, "the gateway did not start"
                with contextlib.suppress(aiohttp.ClientError):
                    async with client.get(f"http://127.0.0.1:{port}/readyz") as response:
                        if response.status == 200:
                            break
                await asyncio.sleep(0.05)
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.mark.slow
@pytest.mark.parametrize("where", ["file", "redis"])
async def test_killed_again_and_again(
    where: str, start: Any, files: Any, desk_of: Any, line_of: Any, tmp_path: Path, redis_server: Any
) -> None:
    async with start() as house:
        house.retriever.intercept = files.route
        house.generator.delay = 0.02
        environ = {
            "SLIPWAY_GENERATOR_URL": house.generator.url, "SLIPWAY_RETRIEVER_URL": house.retriever.url, "SLIPWAY_RERANKER_URL": "",
            "SLIPWAY_SAFETY_URL": "", "SLIPWAY_REDIS_URL": redis_server.url if where == "redis" else "", "SLIPWAY_GATEWAY_BATCH_LEASE_SECONDS": "0.5",
            "SLIPWAY_GATEWAY_WATCHDOG_SECONDS": "0", "SLIPWAY_GATEWAY_BOOTSTRAP_KEY": KEY,
            **({"SLIPWAY_GATEWAY_STATE_FILE": str(tmp_path / "batches")} if where == "file" else {}),
        }  # fmt: skip
        port = free_port()
        made: dict[str, Any] = {}
        done: dict[str, Any] = {}
        output: list[Any] = []
        failed: list[Any] = []
        interrupted = 0
        for turn in range(KILLS + 1):
            async with gateway(port, environ) as process, aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client:
                desk = desk_of(client, house.auth)
                made = made or await desk.create([line_of(f"line {n}", f"question {n}") for n in range(LINES)])
                if turn == KILLS:
                    house.generator.delay = 0.0
                    done = await desk.end(made["id"])
                    output, failed = await desk.lines(done["output_file_id"]), await desk.lines(done["error_file_id"])
                    break
                # The kill falls at a random place within the lines of this turn.
                goal = (turn * LINES) // (KILLS + 1) + random.randint(1, LINES // (KILLS + 2))
                while (counted := (await desk.state(made["id"]))["request_counts"]["completed"]) < goal:
                    await asyncio.sleep(0.005)
                interrupted += counted < LINES
                process.send_signal(signal.SIGKILL)
                await process.wait()
        assert interrupted == KILLS, "the batch ended before it could be interrupted"
        assert done["status"] == "completed" and done["request_counts"] == {"total": LINES, "completed": LINES, "failed": 0}
        assert [line["custom_id"] for line in output] == [f"line {n}" for n in range(LINES)] and failed == []
        # Only what was under way at a kill was asked again.
        assert LINES <= len([asked for asked in house.generator.seen if "messages" in asked]) <= LINES + KILLS * 2


async def test_two_gateways_share_the_work_and_hear_of_a_cancellation(
    start: Any, files: Any, desk_of: Any, line_of: Any, redis_server: Any
) -> None:
    common = {"redis_url": redis_server.url, "batch_lease_seconds": 0.3}
    async with start(**common) as one, start(**common) as two:
        one.retriever.intercept = two.retriever.intercept = files.route
        one.generator.delay = two.generator.delay = 3600.0
        first, second = desk_of(one.client, one.auth), desk_of(two.client, two.auth)
        batch = await first.create([line_of("a")])
        while (await second.state(batch["id"]))["status"] != "in_progress":
            await asyncio.sleep(0.01)
        # Whoever runs it, the other one is asked: the runner is told by the generator that it called.
        while not (one.generator.seen or two.generator.seen):
            await asyncio.sleep(0.01)
        other = second if one.generator.seen else first
        await other.call("POST", f"/v1/batches/{batch['id']}/cancel")
        assert (await second.end(batch["id"]))["status"] == "cancelled"


async def test_a_batch_that_was_not_done_in_time_expires_with_its_lines_told(
    start: Any, files: Any, desk_of: Any, line_of: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slipway_gateway.routes.batches.WINDOW_SECONDS", 4)
    async with start(state_file=tmp_path / "batches") as house:
        house.retriever.intercept = files.route

        async def slow(request: Any) -> Any:
            if request.path == "/v1/chat/completions":
                house.generator.seen.append(await request.json())
                if house.generator.seen[-1]["messages"][0]["content"] == "hang":
                    await asyncio.sleep(3600)
            return await house.generator.answer(request)

        house.generator.intercept = slow
        desk = desk_of(house.client, house.auth)
        batch = await desk.create([line_of("quick"), line_of("b", "hang"), line_of("c", "hang"), line_of("d", "hang")])
        done = await desk.end(batch["id"])
        assert done["status"] == "expired" and done["expired_at"] >= done["expires_at"]
        assert done["request_counts"] == {"total": 4, "completed": 1, "failed": 3}
        assert [line["custom_id"] for line in await desk.lines(done["output_file_id"])] == ["quick"]
        told = await desk.lines(done["error_file_id"])
        assert [(line["custom_id"], line["error"]["code"]) for line in told] == [(name, "batch_expired") for name in "bcd"]
