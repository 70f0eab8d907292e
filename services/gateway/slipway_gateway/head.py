"""The head of a request, written so that no value becomes a line of its own. It refuses to know connections."""

from collections.abc import AsyncIterable, Mapping

Body = bytes | AsyncIterable[bytes] | None
"""What follows the head: bytes, or pieces that are read as they are sent."""


def request_head(method: str, target: str, authority: str, headers: Mapping[str, str], body: Body) -> bytes:
    """The head of a request. Raises ValueError where a value would end its line."""
    head, lines = f"{method} {target} HTTP/1.1\r\nhost: {authority}\r\n", 2 + len(headers)
    for name, value in headers.items():
        head += f"{name}: {value}\r\n"
    if head.count("\n") != lines or head.count("\r") != lines or " " in target:
        raise ValueError("A header's value or a path holds a line break or a blank.")
    if isinstance(body, bytes):
        return f"{head}content-length: {len(body)}\r\n\r\n".encode("latin-1")
    if body is not None and "content-length" not in headers:
        head += "transfer-encoding: chunked\r\n"
    return f"{head}\r\n".encode("latin-1")
