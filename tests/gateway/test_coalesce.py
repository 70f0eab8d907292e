"""Streams that are read on the tick, over real sockets: every byte, every end and every bound as on the ordinary way."""

import asyncio
import contextlib
import itertools
import random
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator

import pytest
from slipway_gateway import coalesce
from slipway_gateway.answer import Answer, Broken, Late, Silent
from slipway_gateway.coalesce import Coalescer
from slipway_gateway.dial import Origin, Patience, Session
from slipway_gateway.wire import HIGH_WATER

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
PATIENT = Patience(10.0, 2.0, 5.0)
TICK = 0.005
HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


@pytest.fixture(params=["ticking", "watching", "slow"])
def slow(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """The timer polls from the first byte on, or never. Whether it is the slow one."""
    ticking = request.param != "watching"
    monkeypatch.setattr(coalesce, "WINDOW_SECONDS", 0.0)
    monkeypatch.setattr(coalesce, "BUSY", 0.0 if ticking else 1e9)
    monkeypatch.setattr(coalesce, "QUIET", 0.0)
    monkeypatch.setattr(coalesce, "FEWEST", 0)
    return request.param == "slow"


@contextlib.asynccontextmanager
async def serving(talk: Talk) -> AsyncGenerator[Origin]:
    talks = list[asyncio.Task[None] | None]()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.append(asyncio.current_task())
        try:
            await talk(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield Origin.parse(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    finally:
        server.close()
        running = [one for one in talks if one is not None]
        for one in running:
            one.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def says(*pieces: bytes, stay: bool = True) -> Talk:
    """Answers every request with `pieces`, a moment apart."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await reader.readuntil(b"\r\n\r\n")
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0.005)
            if not stay:
                return

    return talk


@contextlib.asynccontextmanager
async def relaxed(talk: Talk, slow: bool, patience: Patience = PATIENT) -> AsyncGenerator[tuple[Session, Origin, Answer]]:
    """An answer of `talk` whose first piece was read and whose others may come late."""
    async with Session(4, tick_seconds=TICK) as session, serving(talk) as origin:
        answer = await session.request("GET", origin, "/", {}, None, patience)
        assert await answer.some() == b"first"
        answer.relax(slow=slow)
        yield session, origin, answer


def chunks(*pieces: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)


async def test_bytes_are_the_same_however_they_are_cut_and_the_connection_serves_again(slow: bool) -> None:
    chance = random.Random(7)
    said = bytes(chance.randrange(256) for _ in range(20_000))
    raw = chunks(*(said[at : at + 97] for at in range(0, len(said), 97))) + b"0\r\n\r\n"
    cuts = [0, *sorted(chance.sample(range(len(raw)), 40)), len(raw)]
    connections = 0

    async def counted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await says(HEAD + chunks(b"first"), *(raw[a:b] for a, b in itertools.pairwise(cuts)))(reader, writer)

    async with relaxed(counted, slow) as (session, origin, answer):
        assert await answer.read(1 << 20) == said
        for _ in range(2):
            again = await session.request("GET", origin, "/", {}, None, PATIENT)
            assert await again.some() == b"first"
            again.relax(slow=slow)
            assert await again.read(1 << 20) == said
        assert connections == 1


async def test_ends_are_what_they_were(slow: bool) -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(HEAD + chunks(b"first"))
        await asyncio.sleep(0.03)
        writer.transport.abort()

    cut = says(HEAD + chunks(b"first"), chunks(b"more"), b"4\r\nha", stay=False)
    for talk in (cut, reset):
        async with relaxed(talk, slow) as (_, _, answer):
            with pytest.raises(Broken):
                await answer.read(1 << 20)
    async with relaxed(says(b"HTTP/1.1 200 OK\r\n\r\nfirst", b"and", b"last", stay=False), slow) as (_, _, answer):
        assert await answer.read(1 << 20) == b"andlast"  # a body without a length ends with its connection
    async with relaxed(says(HEAD + chunks(b"first"), b"no chunk at all\r\n"), slow) as (_, _, answer):
        with pytest.raises(Broken):
            await answer.read(1 << 20)


async def test_silence_and_the_deadline_are_seen(slow: bool) -> None:
    quiet = says(HEAD + chunks(b"first"))
    for patience, error in ((Patience(5.0, 1.0, 0.05), Silent), (Patience(0.05, 1.0, 5.0), Late)):
        async with relaxed(quiet, slow, patience) as (_, _, answer):
            with pytest.raises(error):
                await answer.read(1 << 20)


async def test_an_answer_that_is_closed_hangs_up(slow: bool) -> None:
    ended = asyncio.Event()

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(HEAD + chunks(b"first"))
        with contextlib.suppress(ConnectionError):
            await reader.read()
        ended.set()

    async with relaxed(endless, slow) as (_, _, answer):
        answer.close()
        await asyncio.wait_for(ended.wait(), 2)


async def test_a_slow_reader_bounds_what_is_read_for_it(slow: bool) -> None:
    size, sent = 64 * HIGH_WATER, 0

    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\nfirst" % (size + 5))
        await asyncio.sleep(0.03)
        while sent < size:
            writer.write(b"x" * (1 << 16))
            sent += 1 << 16
            await writer.drain()
        await reader.read()

    async with relaxed(pour, slow) as (_, _, answer):
        await asyncio.sleep(0.3)
        assert sent < size / 2
        total = 0
        while piece := await answer.some():
            total += len(piece)
        assert total == size


async def test_what_a_sink_does_not_take_is_for_whoever_awaits_it(slow: bool) -> None:
    talk = says(HEAD + chunks(b"first"), chunks(b"one"), chunks(b"two"), chunks(b"STOP"), chunks(b"four"), b"0\r\n\r\n")
    async with relaxed(talk, slow) as (_, _, answer):
        taken: list[bytes] = []

        def sink(piece: bytes) -> bytes:
            if b"STOP" in piece:
                return piece
            taken.append(piece)
            return b""

        answer.pour(sink)
        assert await answer.read(10) == b"STOPfour"
        assert b"".join(taken) == b"onetwo"


@pytest.fixture
def pairs() -> Generator[list[tuple[socket.socket, socket.socket]]]:
    """Eight connected pairs of sockets."""
    with contextlib.ExitStack() as stack:
        made = [socket.socketpair() for _ in range(8)]
        for pair in made:
            for one in pair:
                stack.enter_context(one)
        yield made


async def test_many_fast_streams_are_polled_and_few_or_slow_ones_are_not(pairs: list[tuple[socket.socket, socket.socket]]) -> None:
    coalescer = Coalescer(asyncio.get_running_loop(), TICK)
    read, pace = bytearray(), 0.002

    async def talk() -> None:
        while True:
            for talker, _ in pairs:
                talker.send(b"x")
            await asyncio.sleep(pace)

    async def until(ticking: bool) -> None:
        while coalescer.ticking != ticking:
            await asyncio.sleep(TICK)

    for _, listener in pairs:
        coalescer.add(listener.fileno(), lambda listener=listener: read.extend(listener.recv(64)))
    assert not coalescer.ticking
    talking = asyncio.create_task(talk())
    await until(True)
    pace = 1.0  # now they are slow
    await until(False)
    pace = 0.002
    await until(True)
    for _, listener in pairs[3:]:
        coalescer.remove(listener.fileno())
    await until(False)
    seen = len(read)
    while len(read) < seen + 50:  # three are still read, each as it comes
        await asyncio.sleep(TICK)
    talking.cancel()
    await asyncio.gather(talking, return_exceptions=True)
    coalescer.close()
