"""A request that the gateway makes to itself: the whole application answers it, with every check, limit and count, and no socket in between.

It knows ASGI. It refuses to know routes.
"""

import asyncio
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Any

from slipway_shared.middleware import ASGIApp, Message

from slipway_gateway.keys import Key

KEY = "slipway.key"
"""Where such a request's scope holds its key. No server puts anything there, so no caller can."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def retry_after_seconds(self) -> float | None:
        """How long the answer asks to wait."""
        after = self.headers.get("retry-after", "")
        return float(after) if after.isascii() and after.isdigit() and len(after) < 6 else None


async def post(app: ASGIApp, path: str, body: bytes, key: Key, request_id: str) -> Answer:
    """The answer of `app` to a JSON `body`, on behalf of `key`."""
    given = {"content-type": "application/json", "content-length": str(len(body)), "x-request-id": request_id}
    scope: MutableMapping[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "scheme": "http",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in given.items()],
        "client": None,
        "server": None,
        KEY: key,
    }
    waiting = [{"type": "http.request", "body": body, "more_body": False}]
    sent: list[Message] = []

    async def receive() -> Message:
        if waiting:
            return waiting.pop()
        await asyncio.Event().wait()  # this caller never hangs up; it is cancelled
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    start = next(message for message in sent if message["type"] == "http.response.start")
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in start["headers"]}
    return Answer(start["status"], headers, b"".join(m.get("body", b"") for m in sent if m["type"] == "http.response.body"))
