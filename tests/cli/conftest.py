"""A home folder of its own and free ports for every test of the command line."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from slipway_cli import places, processes, state


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


@pytest.fixture
def home(tmp_path: Path) -> Iterator[places.Home]:
    """An empty home; whatever a test leaves running in it is ended."""
    found = places.Home(tmp_path / "home")
    found.logs.mkdir(parents=True)
    yield found
    processes.sweep(found.path, grace_seconds=2.0)


@pytest.fixture
def small_platform(home: places.Home) -> Iterator[Callable[[str], subprocess.Popen[bytes]]]:
    """Starts the real supervisor over two small parts; the word says how one of them behaves."""
    started: list[subprocess.Popen[bytes]] = []

    def start(behaviour: str) -> subprocess.Popen[bytes]:
        env = {**os.environ, processes.MARK: processes.mark(home.path, processes.SUPERVISOR)}
        ports = [str(port) for port in free_ports(2)]
        script = Path(__file__).with_name("small_platform.py")
        with home.log("supervisor").open("wb") as log:
            process = subprocess.Popen([sys.executable, str(script), str(home.path), behaviour, *ports], env=env, stdout=log, stderr=log)
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.wait()


def wait_for(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    """Until `condition` holds; fails the test when it never does."""
    due = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < due, "it did not happen in time"
        time.sleep(0.05)


@pytest.fixture
def reached(home: places.Home) -> Callable[[str], state.State]:
    """Waits until the platform at `home` says that it is in a phase."""

    def until(phase: str) -> state.State:
        wait_for(lambda: (now := state.read(home.state)) is not None and now.phase == phase)
        now = state.read(home.state)
        assert now is not None
        return now

    return until


@pytest.fixture
def until() -> Callable[[Callable[[], bool]], None]:
    """`wait_for`, for tests that wait for something of their own."""
    return wait_for
