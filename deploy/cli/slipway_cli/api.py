"""The platform as its users meet it: HTTP calls on the public API, for the command line. It refuses to know the services behind the edge."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
from slipway_shared.dialect.sse import FrameReader

LONGEST_ANSWER_SECONDS = 300.0


class ApiError(Exception):
    """The platform answered with an error, or not at all; the message is its own sentence."""


@dataclass(frozen=True)
class Address:
    """Where the API is (`http://host:port`, without /v1) and the key for it."""

    base_url: str
    key: str


class Api:
    """One connection to the API. Every method raises ApiError."""

    def __init__(self, address: Address) -> None:
        self._client = httpx.Client(
            base_url=address.base_url,
            headers={"authorization": f"Bearer {address.key}"},
            timeout=httpx.Timeout(60.0, read=LONGEST_ANSWER_SECONDS),
            trust_env=False,
        )

    def __enter__(self) -> "Api":
        return self

    def __exit__(self, *_exc: object) -> None:
        self._client.close()

    def call(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        """One JSON answer; `request` goes to httpx (json, params, files, data)."""
        try:
            return self._asked(method, path, **request).json()
        except json.JSONDecodeError as error:
            raise ApiError(f"{path} answered with something that is no JSON") from error

    def content(self, path: str) -> bytes:
        """One answer's bytes."""
        return self._asked("GET", path).content

    def _asked(self, method: str, path: str, **request: Any) -> httpx.Response:
        try:
            answer = self._client.request(method, path, **request)
        except httpx.HTTPError as error:
            raise ApiError(f"no answer from {self._client.base_url}: {error}") from error
        if answer.is_error:
            raise ApiError(_sentence(answer))
        return answer

    def pages(self, path: str) -> Iterator[dict[str, Any]]:
        """Every entry of a list route, page after page."""
        after: dict[str, str] = {}
        while True:
            page = self.call("GET", path, params={"limit": "100", **after})
            yield from page["data"]
            if not page.get("has_more") or not page["data"]:
                return
            after = {"after": page["data"][-1]["id"]}

    def models(self) -> list[dict[str, Any]]:
        """The entries of /v1/models."""
        return self.call("GET", "/v1/models")["data"]

    def chat(self, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The frames of a streamed answer. An error event, or an end without `[DONE]`, raises ApiError."""
        reader = FrameReader()
        try:
            with self._client.stream("POST", "/v1/chat/completions", json={**body, "stream": True}) as answer:
                if answer.is_error:
                    answer.read()
                    raise ApiError(_sentence(answer))
                for chunk in answer.iter_raw():
                    for payload in reader.feed(chunk):
                        if payload == b"[DONE]":
                            return
                        yield _frame(payload)
        except httpx.HTTPError as error:
            raise ApiError(f"the answer broke off: {error}") from error
        raise ApiError("the answer broke off")


def _frame(payload: bytes) -> dict[str, Any]:
    frame: dict[str, Any] = json.loads(payload)
    if "error" in frame:
        raise ApiError(str(frame["error"].get("message", "the answer ended with an error")))
    return frame


def _sentence(answer: httpx.Response) -> str:
    try:
        return f"{answer.json()['error']['message']} (HTTP {answer.status_code})"
    except (json.JSONDecodeError, KeyError, TypeError):
        return f"HTTP {answer.status_code}"
