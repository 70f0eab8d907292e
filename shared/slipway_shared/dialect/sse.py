"""Server-sent events as the OpenAI API frames them: `data: {json}\\n\\n`, closed by `data: [DONE]\\n\\n`.

It knows framing only, byte by byte, so that a frame cut anywhere, also inside a character, is put together again. It refuses to know what frames mean.
"""

import re
from collections.abc import Iterator
from typing import Any

import orjson

DONE = b"data: [DONE]\n\n"
KEEPALIVE = b": keep-alive\n\n"
MAX_FRAME_BYTES = 4 << 20
HEADERS = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache", "x-accel-buffering": "no"}


class FrameTooLargeError(Exception):
    """A peer sent more than MAX_FRAME_BYTES without ending its frame."""


def frame(value: Any) -> bytes:
    """`value` as one event."""
    return b"data: " + orjson.dumps(value) + b"\n\n"


def error_frame(body: dict[str, Any]) -> bytes:
    """An error event; what follows it is the end of the stream, never `[DONE]`."""
    return b"event: error\n" + frame(body)


_END = re.compile(rb"\r?\n\r?\n")


class FrameReader:
    """Cuts a byte stream into event payloads (the bytes after `data: `); comments and other fields are dropped."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The payloads that `chunk` completes."""
        # A new end can only begin in the last three bytes that are here already.
        start = max(0, len(self._buffer) - 3)
        self._buffer += chunk
        while (end := _END.search(self._buffer, start)) is not None:
            event = bytes(self._buffer[: end.start()])
            del self._buffer[: end.end()]
            start = 0
            payload = b"\n".join(line[5:].removeprefix(b" ") for line in event.splitlines() if line.startswith(b"data:"))
            if payload:
                yield payload
        if len(self._buffer) > MAX_FRAME_BYTES:
            raise FrameTooLargeError(f"an event is larger than {MAX_FRAME_BYTES} bytes")
