"""Exchanges over real sockets with a server that says exactly what the test wants, down to the byte."""

import asyncio
import contextlib
import datetime
import ipaddress
import itertools
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from slipway_gateway.answer import Broken, Dropped, Late, Silent, TooMuch, Unreachable
from slipway_gateway.dial import Origin, Patience, Session
from slipway_gateway.head import Body
from slipway_gateway.wire import HIGH_WATER, MAX_HEAD_BYTES

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
PATIENT = Patience(10.0, 2.0, 5.0)


@contextlib.asynccontextmanager
async def serving(talk: Talk, tls: ssl.SSLContext | None = None) -> AsyncGenerator[Origin]:
    """A server whose every connection is `talk`; what a talk asserts, the test asserts."""
    talks = set[asyncio.Task[None] | None]()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.add(asyncio.current_task())
        try:
            await talk(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
    try:
        yield Origin.parse(f"{'https' if tls else 'http'}://127.0.0.1:{server.sockets[0].getsockname()[1]}/base/")
    finally:
        server.close()
        running = [one for one in talks if one is not None]
        _, late = await asyncio.wait(running, timeout=0.05) if running else (set(), set())
        for one in late:
            one.cancel()
        ends = await asyncio.gather(*running, return_exceptions=True)
    for end in ends:
        if isinstance(end, AssertionError):
            raise end


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


async def asked(talk: Talk, body: Body = None, patience: Patience = PATIENT, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
    async with Session(8) as session, serving(talk) as origin:
        answer = await session.request("POST" if body else "GET", origin, "/x", headers or {}, body, patience)
        return answer.status, await answer.read(1 << 20)


@pytest.mark.parametrize(
    "pieces",
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",),
        (b"HTTP/1.1 200 OK\r\ncontent-le", b"ngth: 5\r", b"\n\r", b"\nhe", b"llo"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\ntrailer: 1\r\n\r\n",),
        (b"HTTP/1.1 100 Continue\r\ncontent-length: 0\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", b"hello"),
    ],
)
async def test_a_body_is_the_same_however_its_bytes_are_cut(pieces: tuple[bytes, ...]) -> None:
    assert await asked(says(*pieces)) == (200, b"hello")


async def test_a_body_without_a_length_ends_with_its_connection() -> None:
    assert await asked(says(b"HTTP/1.1 200 OK\r\n\r\nhel", b"lo", stay=False)) == (200, b"hello")


async def test_an_answer_without_a_body_does_not_wait_for_one() -> None:
    assert await asked(says(b"HTTP/1.1 204 No Content\r\n\r\n")) == (204, b"")


@pytest.mark.parametrize(
    ("pieces", "error"),
    [
        ((b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhel",), Broken),
        ((b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhel",), Broken),
        ((b"HTTP/1.1 200 OK\r\ncontent-le",), Broken),
        ((b"SSH-2.0-OpenSSH\r\n",), Broken),
        ((b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello",), Broken),
        ((b"HTTP/1.1 200 OK\r\nx: " + b"y" * MAX_HEAD_BYTES + b"\r\n\r\n",), Broken),
        ((), Dropped),
    ],
)
async def test_what_is_cut_or_no_http_is_never_a_whole_answer(pieces: tuple[bytes, ...], error: type[Exception]) -> None:
    with pytest.raises(error):
        await asked(says(*pieces, stay=False))


async def test_silence_and_the_deadline_are_told_apart_before_and_within_the_body() -> None:
    hungry = says(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel")
    for talk in (says(), hungry):
        with pytest.raises(Silent):
            await asked(talk, patience=Patience(5.0, 1.0, 0.05))
        with pytest.raises(Late):
            await asked(talk, patience=Patience(0.05, 1.0, 5.0))


async def test_nobody_listens() -> None:
    async with serving(says()) as origin:
        pass
    async with Session(8) as session:
        with pytest.raises(Unreachable):
            await session.request("GET", origin, "/", {}, None, PATIENT)


async def test_a_connection_serves_again_and_none_is_left_over() -> None:
    connections = 0

    async def counted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await says(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n", b"ok")(reader, writer)

    async with Session(4) as session, serving(counted) as origin:

        async def one() -> bytes:
            answer = await session.request("GET", origin, "/", {}, None, PATIENT)
            return await answer.read(10)

        assert await one() == await one() == b"ok"
        assert connections == 1
        # A hundred at once share four connections: each waits for its turn and gets its own answer.
        assert set(await asyncio.gather(*(one() for _ in range(100)))) == {b"ok"}
        assert connections == 4


async def test_an_answer_that_is_closed_early_hangs_up_and_a_cancelled_call_too() -> None:
    ended, calls = asyncio.Queue[None](), itertools.count(1)

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if next(calls) == 1:
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\nx")
        await reader.read()
        await ended.put(None)

    async with Session(4) as session, serving(endless) as origin:
        answer = await session.request("GET", origin, "/", {}, None, PATIENT)
        assert await answer.some() == b"x"
        answer.close()
        await asyncio.wait_for(ended.get(), 2)
        task = asyncio.create_task(session.request("GET", origin, "/", {}, None, PATIENT))
        await asyncio.sleep(0.05)
        task.cancel()
        await asyncio.wait_for(ended.get(), 2)


async def test_a_body_that_is_read_as_it_is_sent_arrives_whole() -> None:
    seen = bytearray()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.extend(await reader.readuntil(b"\r\n\r\n"))
        seen.extend(await reader.readuntil(b"0\r\n\r\n" if b"chunked" in seen else b"END"))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        await reader.read()

    async def pieces() -> AsyncGenerator[bytes]:
        for piece in (b"a" * 50_000, b"", b"END"):
            yield piece

    assert await asked(take, pieces()) == (200, b"")
    assert (
        seen.startswith(b"POST /base/x HTTP/1.1\r\nhost: 127.0.0.1:")
        and b"\r\nc350\r\naaa" in seen
        and b"\r\n3\r\nEND\r\n0\r\n\r\n" in seen
    )
    seen.clear()
    assert await asked(take, pieces(), headers={"content-length": "50003"}) == (200, b"")
    assert b"chunked" not in seen and seen.endswith(b"aEND")


async def test_a_source_that_fails_ends_the_exchange_with_its_own_error() -> None:
    async def torn() -> AsyncGenerator[bytes]:
        yield b"a"
        raise LookupError("torn")

    async def short() -> AsyncGenerator[bytes]:
        yield b"a"

    async def take(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        assert b"0\r\n\r\n" not in await reader.read()

    with pytest.raises(LookupError):
        await asked(take, torn())
    with pytest.raises(ValueError, match="its head told of 9"):
        await asked(take, short(), headers={"content-length": "9"})


async def test_a_slow_reader_bounds_what_is_read_for_it() -> None:
    size, sent = 64 * HIGH_WATER, 0

    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 200 OK\r\ncontent-length: {size}\r\n\r\n".encode())
        while sent < size:
            writer.write(b"x" * (1 << 16))
            sent += 1 << 16
            await writer.drain()
        await reader.read()

    async with Session(4) as session, serving(pour) as origin:
        answer = await session.request("GET", origin, "/", {}, None, PATIENT)
        await asyncio.sleep(0.3)
        assert sent < size / 2
        total = 0
        while piece := await answer.some():
            total += len(piece)
        assert total == size


async def test_more_than_is_taken_is_refused() -> None:
    async with Session(4) as session, serving(says(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello")) as origin:
        answer = await session.request("GET", origin, "/", {}, None, PATIENT)
        with pytest.raises(TooMuch):
            await answer.read(4)


@pytest.mark.parametrize(("path", "value"), [("/a", "x\r\ny: z"), ("/a", "x\ny"), ("/a b", "x"), ("/a\r\nx:", "x")])
async def test_no_value_becomes_a_line_of_its_own(path: str, value: str) -> None:
    async with Session(4) as session, serving(says()) as origin:
        with pytest.raises(ValueError, match="line break or a blank"):
            await session.request("GET", origin, path, {"x": value}, None, PATIENT)


@pytest.mark.parametrize("url", ["ftp://x", "x:1", "http://", ""])
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(ValueError, match="no http"):
        Origin.parse(url)


def certificate(folder: Path) -> Path:
    """A certificate of 127.0.0.1 that signs itself, with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "part")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    path = folder / "part.pem"
    path.write_bytes(secret + made.public_bytes(serialization.Encoding.PEM))
    return path


async def test_a_part_behind_tls_is_believed_only_with_a_certificate_that_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = certificate(tmp_path)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(known)
    async with serving(says(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"), tls) as origin:
        assert origin.secure
        async with Session(4) as session:
            with pytest.raises(Unreachable):
                await session.request("GET", origin, "/", {}, None, PATIENT)
        monkeypatch.setenv("SSL_CERT_FILE", str(known))
        async with Session(4, tick_seconds=0.005) as session:
            answer = await session.request("GET", origin, "/", {}, None, PATIENT)
            answer.relax()  # what is read from the socket itself would be no text
            assert await answer.read(10) == b"hello"
