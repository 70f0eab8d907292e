"""The answers of the benchmark's mock, as whole HTTP responses in a folder, and the mock itself, compiled when it is needed.

It knows the paths that gateways ask: models, chat (whole, all frames at once, or paced), and the safety filter's check. It refuses to know who asks.
"""

import json
import subprocess
from pathlib import Path

HERE = Path(__file__).parent
HEAD = {"id": "chatcmpl-bench", "created": 1700000000, "model": "bench"}
USAGE = {"prompt_tokens": 12, "completion_tokens": 64, "total_tokens": 76}
TEXT = "The quick brown fox jumps over the lazy dog and goes on. " * 6


def completion() -> bytes:
    """The whole answer, a JSON document."""
    message = {"role": "assistant", "content": TEXT, "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    return _json({**HEAD, "object": "chat.completion", "choices": [choice], "usage": USAGE})


def frames(words: int) -> list[bytes]:
    """The streamed answer, an event each: role, `words` words, finish, usage, end."""
    deltas = [{"role": "assistant", "content": ""}, *({"content": f"word{n} "} for n in range(words)), {}]
    out: list[bytes] = []
    for delta in deltas:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None if delta else "stop"}
        out.append(_event({**HEAD, "object": "chat.completion.chunk", "choices": [choice], "usage": None}))
    return [*out, _event({**HEAD, "object": "chat.completion.chunk", "choices": [], "usage": USAGE}), b"data: [DONE]\n\n"]


def write(folder: Path, words: int) -> int:
    """All answers into `folder`; returns the number of paced pieces."""
    card = {"id": "bench", "object": "model", "created": 0, "owned_by": "bench"}
    events = frames(words)
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    answers = {
        "whole": _response(completion()),
        "models": _response(_json({"object": "list", "data": [card]})),
        # As the real filter answers on words: nothing in them can begin a match, so nothing is held (the gateway cuts the number to the text's length).
        "check": _response(b'{"verdict":"allow","findings":[],"hold_from":1048576}'),
        "stream": head + _chunk(b"".join(events)) + b"0\r\n\r\n",
        "head": head,
    }
    answers |= {f"frame-{n}": _chunk(event) for n, event in enumerate(events)}
    answers[f"frame-{len(events) - 1}"] += b"0\r\n\r\n"
    for name, answer in answers.items():
        (folder / name).write_bytes(answer)
    return len(events)


def mock(folder: Path, port: int, words: int, pace_seconds: float) -> list[str]:
    """The command that runs the mock at `port`; compiles it into `folder`. Raises SystemExit where there is no C compiler."""
    pieces = write(folder, words)
    binary = folder / "mock"
    try:
        subprocess.run(["cc", "-O2", "-Wall", "-Wextra", "-o", str(binary), str(HERE / "mock.c")], check=True)
    except FileNotFoundError:
        raise SystemExit("The benchmark's mock needs a C compiler: install gcc or clang so that `cc` is on the path.") from None
    return [str(binary), str(port), str(folder), str(pieces), str(round(pace_seconds * 1e6))]


def _json(document: dict[str, object]) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def _event(document: dict[str, object]) -> bytes:
    return b"data: " + _json(document) + b"\n\n"


def _response(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: " + str(len(body)).encode() + b"\r\n\r\n" + body


def _chunk(piece: bytes) -> bytes:
    return f"{len(piece):x}\r\n".encode() + piece + b"\r\n"
