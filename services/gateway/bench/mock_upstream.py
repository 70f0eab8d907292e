"""A mock upstream for the gateway's benchmark: bytes that were made beforehand, from one asyncio protocol without a framework.

    python mock_upstream.py PORT [FRAMES]

It knows the paths that gateways ask: models, chat (whole, or FRAMES frames at once), and the safety filter's check. It refuses to parse bodies.
"""

import asyncio
import json
import sys

HEAD = {"id": "chatcmpl-bench", "created": 1700000000, "model": "bench"}
USAGE = {"prompt_tokens": 12, "completion_tokens": 64, "total_tokens": 76}
TEXT = "The quick brown fox jumps over the lazy dog and goes on. " * 6


def completion() -> bytes:
    """The whole answer."""
    message = {"role": "assistant", "content": TEXT, "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    return json.dumps({**HEAD, "object": "chat.completion", "choices": [choice], "usage": USAGE}, separators=(",", ":")).encode()


def stream(frames: int) -> bytes:
    """The streamed answer: role, `frames` words, finish, usage, end."""
    deltas = [{"role": "assistant", "content": ""}, *({"content": f"word{n} "} for n in range(frames)), {}]
    out: list[bytes] = []
    for delta in deltas:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None if delta else "stop"}
        document = {**HEAD, "object": "chat.completion.chunk", "choices": [choice], "usage": None}
        out.append(b"data: " + json.dumps(document, separators=(",", ":")).encode() + b"\n\n")
    last = {**HEAD, "object": "chat.completion.chunk", "choices": [], "usage": USAGE}
    out.append(b"data: " + json.dumps(last, separators=(",", ":")).encode() + b"\n\n")
    return b"".join([*out, b"data: [DONE]\n\n"])


def response(body: bytes) -> bytes:
    """`body` as an HTTP/1.1 answer."""
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: " + str(len(body)).encode() + b"\r\n\r\n" + body


def streamed(body: bytes) -> bytes:
    """`body` as a chunked HTTP/1.1 answer, as servers stream."""
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    return head + f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n"


class Mock(asyncio.Protocol):
    """One connection. Requests come one after another, as keep-alive clients send them."""

    def __init__(self, answers: dict[str, bytes]) -> None:
        self._answers = answers
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].lower()
            at = head.find(b"content-length:")
            length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self._buffer) < end + 4 + length:
                return
            body, self._buffer = self._buffer[end + 4 : end + 4 + length], self._buffer[end + 4 + length :]
            assert isinstance(self._transport, asyncio.WriteTransport)
            self._transport.write(self._pick(head, body))

    def _pick(self, head: bytes, body: bytes) -> bytes:
        if b"/v1/check" in head[:60]:
            return self._answers["check"]
        if b"/models" in head[:60]:
            return self._answers["models"]
        return self._answers["stream" if b'"stream":true' in body.replace(b" ", b"") else "whole"]


async def serve(port: int, frames: int) -> None:
    """Until killed."""
    card = {"id": "bench", "object": "model", "created": 0, "owned_by": "bench"}
    answers = {
        "whole": response(completion()),
        "stream": streamed(stream(frames)),
        "models": response(json.dumps({"object": "list", "data": [card]}).encode()),
        "check": response(b'{"verdict":"allow","findings":[]}'),
    }
    server = await asyncio.get_running_loop().create_server(lambda: Mock(answers), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 64))
