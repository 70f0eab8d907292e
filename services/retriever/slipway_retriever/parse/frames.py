"""How the service and its parser process speak: four bytes of length, then JSON. Never pickle: what a parser says was shaped by a stranger's file."""

import json
import struct
from typing import BinaryIO

MAX_FRAME = 256 << 20
_LENGTH = struct.Struct(">I")

Value = str | int | float | bool | None | list["Value"] | dict[str, "Value"]


class Closed(Exception):
    """The other side is gone."""


def write(stream: BinaryIO, message: dict[str, Value]) -> None:
    """Send one message."""
    raw = json.dumps(message, ensure_ascii=False).encode("utf-8", "surrogatepass")
    stream.write(_LENGTH.pack(len(raw)) + raw)
    stream.flush()


def read(stream: BinaryIO) -> dict[str, Value]:
    """Receive one message; raises Closed at the end of the stream."""
    (length,) = _LENGTH.unpack(_exactly(stream, _LENGTH.size))
    if length > MAX_FRAME:
        raise Closed("a message longer than any that is sent")
    message = json.loads(_exactly(stream, length))
    if not isinstance(message, dict):
        raise Closed("no message")
    return message


def _exactly(stream: BinaryIO, count: int) -> bytes:
    out = bytearray()
    while len(out) < count:
        block = stream.read(count - len(out))
        if not block:
            raise Closed("the stream ended")
        out += block
    return bytes(out)
