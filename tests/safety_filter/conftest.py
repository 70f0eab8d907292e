"""A real safety filter on loopback, and the pieces that most tests share."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from slipway_safety_filter.check import Checker
from slipway_safety_filter.policy import DEFAULT_TABLE, Change, Policies, Policy, PolicyFile, RowChange

Start = Callable[..., httpx.Client]
Refuse = Callable[..., str]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _environment(settings: dict[str, str | Path]) -> dict[str, str]:
    env = {k: v for k, v in os.environ.items() if not k.startswith("SLIPWAY_")}
    return env | {f"SLIPWAY_SAFETY_{name.upper()}": str(value) for name, value in settings.items()}


@pytest.fixture(scope="session")
def refuse() -> Refuse:
    """Starts a process with settings that it must refuse; returns what it wrote to stderr before it ended with 2."""

    def go(**settings: str | Path) -> str:
        command = [sys.executable, "-m", "slipway_safety_filter", "--port", "0"]
        done = subprocess.run(command, env=_environment(settings), capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 2, done.stderr
        return done.stderr

    return go


@pytest.fixture(scope="session")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Starts a process with the given settings and returns a client of it."""
    running: list[subprocess.Popen[bytes]] = []
    clients: list[httpx.Client] = []
    cache = tmp_path_factory.mktemp("encoder")

    def go(**settings: str | Path) -> httpx.Client:
        port = _free_port()
        env = _environment({"cache_dir": cache} | settings)
        log = tmp_path_factory.mktemp("safety") / "log"
        with log.open("wb") as stderr:
            process = subprocess.Popen([sys.executable, "-m", "slipway_safety_filter", "--port", str(port)], env=env, stderr=stderr)
        running.append(process)
        client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20)
        clients.append(client)
        until = time.monotonic() + 60
        while time.monotonic() < until:
            try:
                if client.get("/readyz").status_code == 200:
                    return client
            except httpx.TransportError:
                pass
            if process.poll() is not None:
                break
            time.sleep(0.05)
        raise AssertionError(log.read_text())

    yield go
    for client in clients:
        client.close()
    for process in running:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="session")
def client(start: Start) -> httpx.Client:
    """A filter with the built-in policy."""
    return start()


@pytest.fixture(scope="session")
def checker() -> Checker:
    return Checker(b"a key of the tests")


@pytest.fixture(scope="session")
def default_policy() -> Policy:
    return Policies(DEFAULT_TABLE).default


@pytest.fixture(scope="session")
def strict_policy() -> Policy:
    """Redacts every kind of personal data on both sides."""
    rows = {name: RowChange(input="redact", output="redact") for name in DEFAULT_TABLE if name.startswith(("pii", "secret"))}
    return Policies(DEFAULT_TABLE, PolicyFile(default=Change(categories=rows))).default
