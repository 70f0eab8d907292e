"""The HTTP server's connection, on which the head of an answer leaves together with the first piece of its body, and the pieces of a long one can be written
without a message for each.

uvicorn writes each of them by itself, and a write is the most expensive thing that a small answer does: the system's call costs as much as fifty lines of
Python. It knows when bytes leave, and refuses to know what they are.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

if TYPE_CHECKING:
    from asyncio import Transport

_HEAD = b"HTTP/1.1 "
_CONNECTION = "slipway.connection"
"""An ASGI extension: the server's side of the connection."""


class Joining:
    """A transport that keeps what looks like an answer's head until the next write, or until the loop's next turn, whichever comes first. The order of
    bytes is never changed, so that a guess that is wrong costs nothing but that wait."""

    __slots__ = ("_held", "_loop", "_transport")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._held = b""

    def write(self, data: bytes) -> None:
        """Sends `data`, after what was held."""
        if self._held:
            data, self._held = self._held + data, b""
        elif data.startswith(_HEAD):
            self._held = data
            self._loop.call_soon(self.flush)
            return
        self._transport.write(data)

    def flush(self) -> None:
        """Sends what was held."""
        if self._held:
            held, self._held = self._held, b""
            self._transport.write(held)

    def close(self) -> None:
        """Closes the connection when everything was sent."""
        self.flush()
        self._transport.close()

    def is_closing(self) -> bool:
        """Whether it was closed."""
        return self._transport.is_closing()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class JoinedHttp(HttpToolsProtocol):
    """uvicorn's protocol on a Joining transport."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(cast("Transport", Joining(transport, self.loop)))

    def on_message_begin(self) -> None:
        super().on_message_begin()
        # The connection and not the answer's own record: that holds the scope, and the two would wait for the collector after every request.
        self.scope["extensions"] = {_CONNECTION: cast("Any", self)}


Outlet = Callable[[bytes], bool]
"""Writes a piece of an answer's body. Returns False, and wrote nothing, where it must be sent as a message: the caller reads too slowly, or is gone."""


def outlet_of(scope: Mapping[str, Any]) -> Outlet | None:
    """The way to the body of the answer to `scope`, once its head was sent and left its length open; None where the server has no such way."""
    connection: JoinedHttp | None = scope.get("extensions", {}).get(_CONNECTION)
    if connection is None or (cycle := connection.cycle).scope is not scope:
        return None  # not over JoinedHttp; or the caller has sent another request meanwhile, which the connection knows instead
    flow, write = cycle.flow, cycle.transport.write

    def outlet(piece: bytes) -> bool:
        if flow.write_paused or cycle.disconnected or cycle.response_complete or not cycle.chunked_encoding:
            return False
        write(b"%x\r\n%b\r\n" % (len(piece), piece))
        return True

    return outlet
