"""Calls to an OpenAI-compatible server: bounded in time, size and attempts, with jittered back-off.

It knows HTTP, chat completions and moderations. It refuses to know what an answer is good for. No key and no text is ever part of an error.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from slipway_training.data.synth.config import Bounds, Safety, Teacher
from slipway_training.errors import ConfigError, StackMissing, TrainingError

try:
    import httpx
    from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_attempt, wait_random_exponential
except ImportError as error:  # pragma: no cover - depends on the installation
    raise StackMissing(error.name or "httpx", "data") from error

MAX_BYTES = 8 << 20
AGAIN = frozenset({408, 409, 425, 429})


class TeacherFailed(TrainingError):
    """The server could not be reached, or answered with errors to the last attempt."""


class PromptRefused(TrainingError):
    """The server will not answer this prompt (400, 413, 422); another one may go through."""


class _Again(Exception):
    """Worth another attempt; `after` is the server's Retry-After in seconds."""

    def __init__(self, what: str, after: float | None = None) -> None:
        super().__init__(what)
        self.after = after


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer: its text, why it ended, and the tokens of the call as the server counts them."""

    text: str
    finish: str
    tokens: int


class Server:
    """One server; an async context manager that holds its connections."""

    def __init__(self, url: str, key_variable: str, bounds: Bounds) -> None:
        """Raises ConfigError when the variable is named but not set."""
        key = os.environ.get(key_variable, "") if key_variable else ""
        if key_variable and not key:
            raise ConfigError(f"the environment variable {key_variable} is not set")
        self._bounds = bounds
        self._base = url.rstrip("/")
        self._wait = wait_random_exponential(multiplier=min(0.5, bounds.longest_wait_seconds / 4), max=bounds.longest_wait_seconds)
        limits = httpx.Limits(max_connections=bounds.concurrency)
        self._client = httpx.AsyncClient(
            timeout=bounds.timeout_seconds, headers={"Authorization": f"Bearer {key}"} if key else {}, limits=limits, trust_env=False
        )

    async def __aenter__(self) -> "Server":
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._client.aclose()

    async def post(self, path: str, body: Mapping[str, object]) -> dict[str, Any]:
        """The JSON object of one call; raises TeacherFailed, PromptRefused, ConfigError (key or address refused)."""
        retrying = AsyncRetrying(
            stop=stop_after_attempt(self._bounds.attempts), wait=self._pause, retry=retry_if_exception_type(_Again), reraise=True
        )
        try:
            return await retrying(self._once, path, body)
        except _Again as last:
            raise TeacherFailed(f"{self._base}{path} failed {self._bounds.attempts} times, the last time with {last}") from last

    def _pause(self, state: RetryCallState) -> float:
        failed = state.outcome.exception() if state.outcome else None
        asked = failed.after if isinstance(failed, _Again) else None
        jittered = self._wait(state)
        return jittered if asked is None else min(self._bounds.longest_wait_seconds, asked + jittered / 4)

    async def _once(self, path: str, body: Mapping[str, object]) -> dict[str, Any]:
        try:
            async with self._client.stream("POST", self._base + path, json=body) as response:
                self._judge(path, response)
                raw = bytearray()
                async for block in response.aiter_bytes():
                    raw += block
                    if len(raw) > MAX_BYTES:
                        raise PromptRefused(f"{path} sent more than {MAX_BYTES >> 20} MB")
        except httpx.TransportError as error:
            raise _Again(type(error).__name__) from error
        try:
            value = json.loads(raw)
        except ValueError as error:
            raise _Again("an answer that is not JSON") from error
        if not isinstance(value, dict):
            raise _Again("an answer that is no JSON object")
        return cast("dict[str, Any]", value)

    def _judge(self, path: str, response: "httpx.Response") -> None:
        status = response.status_code
        if status in AGAIN or status >= 500:
            after = response.headers.get("retry-after", "")
            raise _Again(f"status {status}", float(after) if after.replace(".", "", 1).isdigit() else None)
        if status in (400, 413, 422):
            raise PromptRefused(f"{path} answered {status}")
        if status != 200:
            raise ConfigError(f"{self._base}{path} answered {status}: check address, key and model")


async def ask(server: Server, teacher: Teacher, messages: list[dict[str, str]], seed: int) -> Reply:
    """One chat completion; raises what `Server.post` raises, and PromptRefused for an answer without text."""
    body = {
        **teacher.extra, "model": teacher.model, "messages": messages, "temperature": teacher.temperature, "top_p": teacher.top_p,
        "max_tokens": teacher.max_tokens, "seed": seed, "stream": False,
    }  # fmt: skip
    value = await server.post("/chat/completions", body)
    try:
        choice = value["choices"][0]
        text, finish = choice["message"]["content"], choice.get("finish_reason") or ""
        usage = value.get("usage") or {}
        tokens = int(usage.get("total_tokens") or 0)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise PromptRefused("an answer that is no chat completion") from error
    if not isinstance(text, str):
        raise PromptRefused("an answer without text")
    return Reply(text.strip(), str(finish), tokens)


async def flagged(server: Server, safety: Safety, prompt: str, answer: str) -> bool:
    """Whether the moderation model flags the pair; raises TeacherFailed when it gives no verdict: nothing passes unchecked."""
    body: dict[str, object] = {"input": [prompt, answer]}
    if safety.moderation_model:
        body["model"] = safety.moderation_model
    value = await server.post("/moderations", body)
    results = value.get("results")
    if not isinstance(results, list) or len(cast("list[object]", results)) != 2:
        raise TeacherFailed("/moderations gave no verdict for each of two inputs")
    return any(bool(r.get("flagged", True)) for r in cast("list[dict[str, Any]]", results))
