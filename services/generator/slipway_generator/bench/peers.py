"""The processes that are compared: started on free ports, waited for, timed by the kernel's own count of their CPU seconds, and ended.

It refuses to know what they are asked.
"""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace
from pathlib import Path

import aiohttp

START_SECONDS = 120.0


class PeerFailed(Exception):
    """A peer did not start, or answered with an error."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A running server of the dialect; `counts`: its `/metrics` says how its drafts fared."""

    name: str
    base: str
    pid: int
    counts: bool = False

    def cpu_seconds(self) -> float:
        """User and system time of the process and its threads so far (Linux)."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident_bytes(self) -> int:
        """Resident memory now (Linux)."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@contextlib.asynccontextmanager
async def ours(model: Path, streams: int, threads: int, name: str = "slipway", **settings: str) -> AsyncGenerator[Peer]:
    """This generator over `model`'s folder."""
    environment = {
        **os.environ,
        "SLIPWAY_GENERATOR_MODEL": str(model),
        "SLIPWAY_GENERATOR_THREADS": str(threads),
        "SLIPWAY_GENERATOR_MAX_SEQUENCES": str(streams),
        "SLIPWAY_GENERATOR_TEMPERATURE": "0",
        **{f"SLIPWAY_GENERATOR_{key.upper()}": value for key, value in settings.items()},
    }
    port = free_port()
    async with _running(name, [sys.executable, "-m", "slipway_generator", "--port", str(port)], port, "/readyz", environment) as peer:
        yield replace(peer, counts=True)


@contextlib.asynccontextmanager
async def llama_server(binary: Path, gguf: Path, streams: int, threads: int, context: int) -> AsyncGenerator[Peer]:
    """llama.cpp's own server with as many slots, the same threads, and its prompt cache on (its default)."""
    port = free_port()
    command = [str(binary), "-m", str(gguf), "--port", str(port), "-np", str(streams), "-c", str(streams * context), "-t", str(threads),
               "-tb", str(threads), "-cb", "--no-webui", "--log-disable"]  # fmt: skip
    async with _running("llama-server", command, port, "/health", dict(os.environ)) as peer:
        yield peer


@contextlib.asynccontextmanager
async def _running(name: str, command: list[str], port: int, health: str, environment: dict[str, str]) -> AsyncGenerator[Peer]:
    quiet = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=quiet, stderr=quiet)
    base = f"http://127.0.0.1:{port}"
    try:
        await _wait_until_ready(process, base + health, name)
        yield Peer(name, base, process.pid)
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(process.wait(), 30)
            except TimeoutError:
                process.kill()
                await process.wait()


async def _wait_until_ready(process: asyncio.subprocess.Process, address: str, name: str) -> None:
    async with asyncio.timeout(START_SECONDS), aiohttp.ClientSession() as session:
        while process.returncode is None:
            with contextlib.suppress(aiohttp.ClientError):
                async with session.get(address) as response:
                    if response.status == 200:
                        return
            await asyncio.sleep(0.05)
    raise PeerFailed(f"{name} ended with {process.returncode} before it was ready")


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
