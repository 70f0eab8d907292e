"""Load for the gateway's benchmark: bare connections on uvloop, so that the load costs a small part of what it measures.

It knows HTTP/1.1 answers and when their bytes came. It refuses to know gateways; what an answer must say is its caller's to check.
"""

import asyncio
import json
import time
from dataclasses import dataclass, field
from typing import cast

import httptools

SILENT_SECONDS = 30.0
"""An answer that takes longer counts as wrong."""


@dataclass(slots=True)
class Answer:
    """One answer: `times` are those at which a piece of the body came, in seconds after the request was sent."""

    status: int = 0
    body: bytes = b""
    times: list[float] = field(default_factory=list[float])

    @property
    def longest_gap(self) -> float:
        """Seconds between two pieces, at most."""
        return max((later - earlier for earlier, later in zip(self.times, self.times[1:], strict=False)), default=0.0)


class Connection(asyncio.Protocol):
    """One keep-alive connection; requests go one after another."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._transport: asyncio.Transport | None = None

    async def ask(self, request: bytes) -> Answer:
        """The whole answer to `request`; its status is 0 where the connection broke or nothing came for SILENT_SECONDS."""
        loop = asyncio.get_running_loop()
        if self._transport is None or self._transport.is_closing():
            await loop.create_connection(lambda: self, "127.0.0.1", self._port)
        assert self._transport is not None
        self._answer, self._pieces, self._done = Answer(), list[bytes](), loop.create_future()
        self._parser = httptools.HttpResponseParser(self)
        self._begun = time.perf_counter()
        self._transport.write(request)
        late = loop.call_later(SILENT_SECONDS, self._transport.abort)
        await self._done
        late.cancel()
        self._answer.body = b"".join(self._pieces)
        return self._answer

    def close(self) -> None:
        """Hangs up."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._done.done():
            self._answer.status = 0
            self._done.set_result(None)

    def on_body(self, body: bytes) -> None:
        """A piece of the body came (called by the parser)."""
        self._answer.times.append(time.perf_counter() - self._begun)
        self._pieces.append(body)

    def on_message_complete(self) -> None:
        """The answer is whole (called by the parser)."""
        self._answer.status = self._parser.get_status_code()
        if not self._parser.should_keep_alive():
            self.close()
        if not self._done.done():
            self._done.set_result(None)


def request(document: dict[str, object], headers: dict[str, str]) -> bytes:
    """A chat request as bytes."""
    body = json.dumps(document, separators=(",", ":")).encode()
    lines = {"host": "127.0.0.1", "content-type": "application/json", "content-length": str(len(body)), **headers}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"POST /v1/chat/completions HTTP/1.1\r\n{head}\r\n".encode() + body


async def closed_loop(port: int, what: bytes, count: int, callers: int) -> tuple[list[Answer], list[float]]:
    """`count` answers by `callers` that each ask again when answered, and the latency of each in seconds."""
    answers: list[Answer] = []
    latencies: list[float] = []
    left = iter(range(count))

    async def caller() -> None:
        connection = Connection(port)
        for _ in left:
            begun = time.perf_counter()
            answers.append(await connection.ask(what))
            latencies.append(time.perf_counter() - begun)
        connection.close()

    await asyncio.gather(*(caller() for _ in range(callers)))
    return answers, latencies


async def together(port: int, what: bytes, streams: int, spread_seconds: float) -> list[Answer]:
    """`streams` answers at the same time; they begin evenly over `spread_seconds`."""

    async def one(number: int) -> Answer:
        await asyncio.sleep(spread_seconds * number / streams)
        connection = Connection(port)
        try:
            return await connection.ask(what)
        finally:
            connection.close()

    return list(await asyncio.gather(*(one(number) for number in range(streams))))
