"""The continuous-batching scheduler through the real process: sharing, fairness, overload, speculation, and what it never lets happen."""

import asyncio
import json
import signal
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

PASSAGES = "the quick brown fox jumps over the lazy dog while slipway serves small language models on laptops " * 2
BIAS_AGAINST_END = {"2": -100}
"""The tiny model's end token; without it an answer goes on to its limit."""


def body(generator: Any, content: str, **fields: Any) -> dict[str, Any]:
    return {"model": generator.model, "messages": [{"role": "user", "content": content}], "temperature": 0, "max_tokens": 16, **fields}


def ask(generator: Any, content: str, tenant: str = "one", **fields: Any) -> dict[str, Any]:
    response = httpx.post(
        f"{generator.base}/v1/chat/completions", json=body(generator, content, **fields), headers={"x-slipway-tenant": tenant}, timeout=60
    )
    assert response.status_code == 200, response.text
    return response.json()


def said(answer: dict[str, Any]) -> str:
    return answer["choices"][0]["message"]["content"]


def cached(answer: dict[str, Any]) -> int:
    return answer["usage"]["prompt_tokens_details"]["cached_tokens"]


def eventually(check: Callable[[], bool], seconds: float = 5.0) -> bool:
    end = time.monotonic() + seconds
    while not check() and time.monotonic() < end:
        time.sleep(0.01)
    return check()


def test_tenants_never_share_a_prefix(tiny: Any) -> None:
    question = "over the laptops " * 8
    assert cached(ask(tiny, question, "alpha")) == 0
    assert cached(ask(tiny, question, "alpha")) > 0
    assert cached(ask(tiny, question, "beta")) == 0


def test_requests_that_arrive_together_share_what_the_first_reads(tiny: Any) -> None:
    prompt = "serves while lazy " * 12
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(ask, [tiny] * 6, [f"{prompt}{number}" for number in range(6)], ["crowd"] * 6))
    shared = sorted(cached(answer) for answer in answers)
    assert shared[0] == 0
    assert all(count > 20 for count in shared[1:])


def test_cached_tokens_are_counted(tiny: Any) -> None:
    ask(tiny, PASSAGES + "counted", "meter")
    before = tiny.metric("slipway_prefix_cache_tokens_total")
    answer = ask(tiny, PASSAGES + "counted", "meter")
    assert tiny.metric("slipway_prefix_cache_tokens_total") - before == answer["usage"]["prompt_tokens"]


def test_a_full_queue_and_a_deadline_end_in_errors_before_or_after_the_first_byte(starts: Any, tiny_model: Path) -> None:
    narrow = starts(str(tiny_model), "tiny:f32", max_sequences=1, max_waiting=4, speculate=False)

    def long(_: int) -> httpx.Response:
        fields = {"max_tokens": 400, "logit_bias": BIAS_AGAINST_END, "stream": True, "temperature": 1.0}
        return httpx.post(f"{narrow.base}/v1/chat/completions", json=body(narrow, "fox", **fields), timeout=60)

    with ThreadPoolExecutor(16) as pool:
        responses = list(pool.map(long, range(16)))
    refused = [response for response in responses if response.status_code != 200]
    assert refused
    assert all(response.status_code == 429 and int(response.headers["retry-after"]) >= 1 for response in refused)
    assert all(response.text.rstrip().endswith("[DONE]") for response in responses if response.status_code == 200)

    def hurried(_: int) -> httpx.Response:
        fields = {"max_tokens": 450, "logit_bias": BIAS_AGAINST_END, "stream": True}
        headers = {"x-slipway-deadline-ms": "40"}
        return httpx.post(f"{narrow.base}/v1/chat/completions", json=body(narrow, "fox", **fields), timeout=60, headers=headers)

    with ThreadPoolExecutor(6) as pool:
        responses = list(pool.map(hurried, range(5)))
    assert {response.status_code for response in responses} <= {200, 504}
    cut = [response for response in responses if "deadline_exceeded" in response.text]
    assert cut  # five answers of 450 tokens, one after the other, do not all fit into 40 ms
    assert not any("[DONE]" in response.text for response in cut)


def test_bad_requests_do_not_disturb_a_running_stream(tiny: Any) -> None:
    wanted = body(tiny, PASSAGES, max_tokens=120, logit_bias=BIAS_AGAINST_END)
    alone = said(httpx.post(f"{tiny.base}/v1/chat/completions", json=wanted, timeout=60).json())
    bad: list[dict[str, Any]] = [
        {"n": 10**6},
        {"max_tokens": -1},
        {"seed": 1 << 70},
        {"stop": [""]},
        {"logit_bias": {"99999999": 1}},
        {"messages": []},
    ]

    async def beside() -> tuple[str, list[int]]:
        async with httpx.AsyncClient(base_url=tiny.base, timeout=60) as client:
            running = asyncio.ensure_future(client.post("/v1/chat/completions", json=wanted))
            refused = [(await client.post("/v1/chat/completions", json={**wanted, **change})).status_code for change in bad * 3]
            return said((await running).json()), refused

    text, refused = asyncio.run(beside())
    assert text == alone
    assert set(refused) == {400}


def test_cut_connections_leave_nothing_in_the_batch(tiny: Any) -> None:
    """Callers that leave at once, before the first byte, after it, and with the request half sent; a hundred of them, mixed."""
    payload = json.dumps(body(tiny, PASSAGES, max_tokens=200, logit_bias=BIAS_AGAINST_END, stream=True)).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(payload)}\r\n\r\n".encode()

    async def cut(number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(tiny.base.rsplit(":", 1)[1]))
        writer.write(head + (payload if number % 3 else payload[:40]))
        await writer.drain()
        if number % 3 == 2:
            await reader.read(64)
        linger = writer.get_extra_info("socket")
        linger.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset, not a polite end
        writer.close()

    async def cut_many() -> None:
        for start in range(0, 100, 10):
            await asyncio.gather(*(cut(number) for number in range(start, start + 10)))

    asyncio.run(cut_many())
    assert eventually(lambda: tiny.metric("vllm:num_requests_running") == 0 and tiny.metric("vllm:num_requests_waiting") == 0)
    assert said(ask(tiny, "fox"))


def test_sigterm_lets_running_streams_finish(starts: Any, tiny_model: Path) -> None:
    leaving = starts(str(tiny_model), "tiny:f32", speculate=False, unready_seconds=0.3)
    fields = {"max_tokens": 400, "logit_bias": BIAS_AGAINST_END, "stream": True}
    with httpx.stream("POST", f"{leaving.base}/v1/chat/completions", json=body(leaving, "fox", **fields), timeout=60) as response:
        lines = response.iter_lines()
        next(lines)
        leaving.process.send_signal(signal.SIGTERM)
        text = "\n".join(lines)
    assert text.rstrip().endswith("[DONE]")
    assert leaving.process.wait(timeout=20) == 0


@pytest.mark.parametrize("stop", [True, False])
def test_penalties_bias_and_cutoffs_shape_the_answer(tiny: Any, stop: bool) -> None:
    token = httpx.post(f"{tiny.base}/tokenize", json={"prompt": " fox"}).json()["tokens"]
    assert len(token) == 1
    forced = ask(tiny, "a", logit_bias={str(token[0]): 100}, max_tokens=4, stop=["fox fox fox"] if stop else None)
    assert said(forced) == (" " if stop else " fox fox fox fox")
    banned = ask(tiny, "a", max_tokens=64, frequency_penalty=2, presence_penalty=2, logit_bias=BIAS_AGAINST_END, logprobs=True)
    tokens = [entry["token"] for entry in banned["choices"][0]["logprobs"]["content"]]
    free = ask(tiny, "a", max_tokens=64, logit_bias=BIAS_AGAINST_END, logprobs=True)
    assert len(set(tokens)) >= len({entry["token"] for entry in free["choices"][0]["logprobs"]["content"]})
    greedy = said(ask(tiny, "a"))
    cutoffs: list[dict[str, Any]] = [{"top_k": 1}, {"top_p": 1e-6}, {"min_p": 1.0}]
    for cutoff in cutoffs:
        assert said(ask(tiny, "a", temperature=2, seed=1, **cutoff)) == greedy
