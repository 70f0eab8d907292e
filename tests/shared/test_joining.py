"""The head of an answer leaves with its body where both are there in one turn of the loop, and does not wait for it any longer."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, MutableMapping
from typing import Any

import pytest
import uvicorn
from slipway_shared.joining import JoinedHttp, Joining, outlet_of

App = Callable[[Any, Any, Any], Awaitable[None]]
HEAD = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]}


class Recorder(asyncio.Transport):
    """Notes what is written to it, and when it is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[bytes] = []

    def write(self, data: Any) -> None:
        self.seen.append(bytes(data))

    def close(self) -> None:
        self.seen.append(b"closed")

    def is_closing(self) -> bool:
        return b"closed" in self.seen

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return f"{name} of the transport"


async def test_a_head_is_joined_with_what_follows_it_and_with_nothing_else() -> None:
    below = Recorder()
    joining = Joining(below, asyncio.get_running_loop())
    for piece in (b"HTTP/1.1 200 OK\r\n\r\n", b"body", b"more", b"HTTP/1.1 is how this body begins", b"!"):
        joining.write(piece)
    assert below.seen == [b"HTTP/1.1 200 OK\r\n\r\nbody", b"more", b"HTTP/1.1 is how this body begins!"]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert len(below.seen) == 3
    assert joining.get_extra_info("peername") == "peername of the transport"


@pytest.mark.parametrize("ends", ["turn", "close"])
async def test_a_head_alone_leaves_in_the_next_turn_and_before_the_end(ends: str) -> None:
    below = Recorder()
    joining = Joining(below, asyncio.get_running_loop())
    joining.write(b"HTTP/1.1 204 No Content\r\n\r\n")
    assert below.seen == [] and not joining.is_closing()
    if ends == "close":
        joining.close()
        assert below.seen == [b"HTTP/1.1 204 No Content\r\n\r\n", b"closed"] and joining.is_closing()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert below.seen.count(b"HTTP/1.1 204 No Content\r\n\r\n") == 1


@contextlib.asynccontextmanager
async def serving(app: App) -> AsyncGenerator[int]:
    server = uvicorn.Server(uvicorn.Config(app, port=0, http=JoinedHttp, lifespan="off", log_config=None))
    running = asyncio.create_task(server._serve())  # pyright: ignore[reportPrivateUsage] -- serve() would take the test's signals
    while not server.started:
        await asyncio.sleep(0.005)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await running


async def test_over_a_real_connection_the_head_of_a_slow_answer_comes_at_once() -> None:
    go = asyncio.Event()

    async def app(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        await send(HEAD)
        if scope["path"] == "/slow":
            await go.wait()
        await send({"type": "http.response.body", "body": b"body"})

    async with serving(app) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for path in ("/quick", "/slow", "/quick"):  # on one connection, one after another
            writer.write(f"GET {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
            async with asyncio.timeout(5):
                head = await reader.readuntil(b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 200 OK\r\n")
                if path == "/slow":
                    with pytest.raises(TimeoutError):
                        async with asyncio.timeout(0.05):
                            await reader.readexactly(1)
                    go.set()
                assert await reader.readexactly(4) == b"body"
        writer.close()


async def test_pieces_of_a_body_may_be_written_without_a_message_each_and_only_to_their_own_answer() -> None:
    scopes: list[MutableMapping[str, Any]] = []

    async def app(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        scopes.append(scope)
        outlet = outlet_of(scope)
        assert outlet is not None and not outlet(b"before the head")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        assert outlet(b"one ") and outlet(b"two ")
        await send({"type": "http.response.body", "body": b"three", "more_body": True})
        assert outlet(b" four")
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        assert not outlet(b"after the end")

    async with serving(app) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(2):
            writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            raw = await reader.readuntil(b"0\r\n\r\n")
            assert raw.partition(b"\r\n\r\n")[2] == b"4\r\none \r\n4\r\ntwo \r\n5\r\nthree\r\n5\r\n four\r\n0\r\n\r\n"
        assert outlet_of(scopes[0]) is None and outlet_of({"type": "http"}) is None
        writer.close()
