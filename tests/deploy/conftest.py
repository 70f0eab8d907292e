"""A real Envoy with the real configuration, in front of one small server that plays every service."""

import asyncio
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from slipway_cli import envoy, places

ROOT = Path(__file__).parents[2]
SERVICES = ("GATEWAY", "GENERATOR", "RETRIEVER", "RERANKER", "SAFETY")


@dataclass
class Played:
    """The services behind Envoy. `seen` are the requests that came; a stream sends its second frame only once `go_on` is set."""

    ports: places.Ports
    seen: list[tuple[str, web.Request]] = field(default_factory=list[tuple[str, web.Request]])
    go_on: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def edge(self) -> str:
        return f"http://127.0.0.1:{self.ports['SLIPWAY_PORT']}"

    @property
    def internal(self) -> str:
        return f"http://127.0.0.1:{self.ports['SLIPWAY_INTERNAL_PORT']}"

    @property
    def admin(self) -> str:
        return f"http://127.0.0.1:{self.ports['SLIPWAY_ADMIN_PORT']}"

    def application(self, name: str) -> web.Application:
        """One service: it answers with its name, and streams on /v1/stream."""

        async def answer(request: web.Request) -> web.StreamResponse:
            if request.path == "/readyz":
                return web.Response(text="ready\n")
            self.seen.append((name, request))
            if request.path == "/v1/stream":
                return await self._stream(request)
            return web.json_response(
                {"service": name, "path": request.path}, headers={"x-request-id": request.headers.get("x-request-id", "")}
            )

        application = web.Application()
        application.router.add_route("*", "/{tail:.*}", answer)
        return application

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"data: 1\n\n")
        await self.go_on.wait()
        await response.write(b"data: 2\n\n")
        return response


@pytest.fixture(scope="session")
def free_ports() -> places.Ports:
    sockets = {name: socket.create_server(("127.0.0.1", 0)) for name in places.DEFAULT_PORTS}
    chosen = {name: one.getsockname()[1] for name, one in sockets.items()}
    for one in sockets.values():
        one.close()
    return places.Ports(chosen)


@pytest.fixture(scope="session")
def envoy_log(free_ports: places.Ports, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Envoy, started from the main thread because it ends with the thread that started it; yields where its access log goes."""
    folder = tmp_path_factory.mktemp("envoy")
    envoy.write(ROOT / "envoy" / "envoy.yaml", free_ports, folder / "envoy.json")
    log = folder / "envoy.log"
    with log.open("wb") as out:
        command = [envoy.binary(), "-c", folder / "envoy.json", "--concurrency", "1", "-l", "warning", "--disable-hot-restart"]
        process = subprocess.Popen([str(word) for word in command], stdout=out, stderr=subprocess.STDOUT)
    yield log
    process.terminate()
    assert process.wait(20) == 0


@pytest.fixture
async def played(envoy_log: Path, free_ports: places.Ports) -> AsyncIterator[Played]:
    """All services up, and Envoy ready to reach them."""
    services = Played(free_ports)
    runners: list[web.AppRunner] = []
    for name in SERVICES:
        runner = web.AppRunner(services.application(name.lower()))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", free_ports[f"SLIPWAY_{name}_PORT"], reuse_address=True).start()
        runners.append(runner)
    await _reachable(services)
    services.seen.clear()
    yield services
    services.go_on.set()
    for runner in runners:
        await runner.cleanup()


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session:
        yield session


async def _reachable(services: Played) -> None:
    async with aiohttp.ClientSession() as session:
        for _ in range(200):
            try:
                answers = [await session.get(f"{services.internal}/{name}/x") for name in ("generator", "retriever", "reranker", "safety")]
                answers.append(await session.get(f"{services.edge}/healthz"))
                if all(answer.status == 200 for answer in answers):
                    return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.1)
    raise AssertionError("Envoy never reached the services")
