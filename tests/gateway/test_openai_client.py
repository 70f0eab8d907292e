"""The `openai` package against the gateway, as an application uses it; and the example of the docs, run as its readers run it."""

import asyncio
import os
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI

KEY = "test-key-of-the-local-tenant"
ASKED: Any = [{"role": "user", "content": "What is the capital of France?"}]


@pytest.fixture
async def client(platform: Any) -> AsyncGenerator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=f"{platform.url}/v1", api_key=KEY, max_retries=0) as made:
        yield made


async def test_chat_whole_and_streamed(platform: Any, client: AsyncOpenAI) -> None:
    whole = await client.chat.completions.create(model="reader", messages=ASKED)
    assert whole.choices[0].message.content == platform.generator.text and whole.usage and whole.usage.total_tokens > 0
    stream = await client.chat.completions.create(model="reader", messages=ASKED, stream=True, stream_options={"include_usage": True})
    chunks = [chunk async for chunk in stream]
    assert "".join(c.delta.content or "" for chunk in chunks for c in chunk.choices) == platform.generator.text
    assert chunks[-1].usage == whole.usage
    notes: list[Any] = [n for chunk in chunks for c in chunk.choices for n in (c.delta.model_extra or {}).get("annotations", [])]
    assert notes[0]["filename"] == "doc0.md"


async def test_errors_are_the_sdks_own(platform: Any, client: AsyncOpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as missing:
        await client.chat.completions.create(model="nope", messages=ASKED)
    assert missing.value.code == "model_not_found"
    with pytest.raises(openai.AuthenticationError):
        await client.with_options(api_key="wrong").models.list()
    with pytest.raises(openai.BadRequestError):
        await client.chat.completions.create(model="chat", messages=[])
    platform.generator.cut_after = 40
    platform.generator.text = "word " * 200
    with pytest.raises(openai.APIError):
        async for _ in await client.chat.completions.create(model="chat", messages=ASKED, stream=True):
            pass


async def test_responses_streamed(platform: Any, client: AsyncOpenAI) -> None:
    async with client.responses.stream(model="reader", input="What is the capital of France?") as stream:
        kinds = [event.type async for event in stream]
        final = await stream.get_final_response()
    assert final.output_text == platform.generator.text and kinds[-1] == "response.completed"
    assert (await client.responses.retrieve(final.id)).output_text == final.output_text


async def test_models(client: AsyncOpenAI) -> None:
    assert {model.id async for model in client.models.list()} == {"reader", "chat"}


async def test_the_example_of_the_docs_prints_an_answer_with_its_source(platform: Any) -> None:
    platform.generator.cards = [{**card, "id": f"slipway-{card['id']}"} for card in platform.generator.cards]
    script = Path(__file__).parents[2] / "docs" / "examples" / "ask.py"
    environ = {**os.environ, "SLIPWAY_BASE_URL": f"{platform.url}/v1", "SLIPWAY_API_KEY": KEY}
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(script), "What is the capital of France?", env=environ, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    assert out.decode().splitlines() == [
        "Paris is the capital of France. [1]", "", "7 + 7 tokens", "[1] doc0.md: Paris is the capital of France. It lies on the Seine."
    ]  # fmt: skip
