"""The whole platform, started by the real `slipway up` in a home of its own on free ports, once for the session."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from slipway_cli import places, processes, state

ROOT = Path(__file__).parents[2]
QUESTION = "What port does the edge listen on?"
START_SECONDS = 170


def environment(home: Path, **more: str) -> dict[str, str]:
    """What a command needs to run a platform of its own: nothing of the caller's settings, a home, and free ports."""
    sockets = {name: socket.create_server(("127.0.0.1", 0)) for name in places.DEFAULT_PORTS}
    ports = {name: str(one.getsockname()[1]) for name, one in sockets.items()}
    for one in sockets.values():
        one.close()
    clean = {name: value for name, value in os.environ.items() if not name.startswith("SLIPWAY_")}
    return {**clean, **ports, "SLIPWAY_HOME": str(home), "COLUMNS": "200", **more}


def slipway(env: dict[str, str], *words: str | Path) -> "subprocess.CompletedProcess[str]":
    """Run the real command to its end."""
    command = [sys.executable, "-m", "slipway_cli.main", *map(str, words)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=START_SECONDS, check=False)
    # What goes wrong is explained in words; a part's own traceback may be shown out of its log, indented.
    assert not re.search("^Traceback", done.stdout + done.stderr, re.MULTILINE), done.stderr
    return done


def left_behind(home: Path) -> list[str]:
    """Every live process that belongs to the platform at `home`, also those that hide their environment."""
    marked = [part for part, _ in processes.ours(home)]
    now = state.read(places.Home(home).state)
    return sorted({*marked, *(part.name for part in (now.parts if now else ()) if processes.find(part.pid, part.created))})


@dataclass
class Platform:
    """A running platform. `printed` is what `slipway up` said."""

    env: dict[str, str]
    printed: str = ""
    home: places.Home = field(init=False)
    key: str = ""

    def __post_init__(self) -> None:
        self.home = places.Home(Path(self.env["SLIPWAY_HOME"]))

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.env['SLIPWAY_PORT']}"

    def cli(self, *words: str | Path) -> "subprocess.CompletedProcess[str]":
        return slipway(self.env, *words)

    def client(self, **headers: str) -> httpx.Client:
        """A client with the key; `headers` replace its own."""
        return httpx.Client(base_url=self.base_url, headers={"authorization": f"Bearer {self.key}", **headers}, timeout=60, trust_env=False)

    def model(self) -> str:
        with self.client() as client:
            return client.get("/v1/models").raise_for_status().json()["data"][0]["id"]

    def ask(self, question: str = QUESTION, **more: Any) -> dict[str, Any]:
        """The message of a whole answer from the default store."""
        body = {"model": self.model(), "messages": [{"role": "user", "content": question}], "retrieval": {"top_k": 5}, **more}
        with self.client() as client:
            return client.post("/v1/chat/completions", json=body).raise_for_status().json()["choices"][0]["message"]

    def part(self, name: str) -> state.PartState:
        now = state.read(self.home.state)
        assert now is not None
        return next(part for part in now.parts if part.name == name)

    @contextmanager
    def without(self, name: str) -> Generator[None]:
        """The platform while one of its parts is dead: killed, and its supervisor held so that it heals only afterwards, which is waited for."""
        supervisor = processes.supervisor(self.home.path)
        before = self.part(name)
        assert supervisor is not None
        assert before.pid is not None
        supervisor.send_signal(signal.SIGSTOP)
        try:
            dying = psutil.Process(before.pid)
            dying.kill()
            wait_for(lambda: dying.status() == psutil.STATUS_ZOMBIE)
            yield
        finally:
            supervisor.send_signal(signal.SIGCONT)
        wait_for(lambda: (now := self.part(name)).pid not in (None, before.pid) and now.phase == "ready")
        wait_for(self.serves)

    def serves(self) -> bool:
        """Whether a question is answered with every part at work again."""
        try:
            notes = [str(note.get("reason", "")) for note in self.ask()["annotations"]]
        except httpx.HTTPError:
            return False
        return not [reason for reason in notes if reason.endswith(("_down", "_overloaded"))]


def wait_for(condition: Callable[[], bool], seconds: float = 120.0) -> None:
    """Until `condition` holds; fails when it never does."""
    due = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < due, "it did not happen in time"
        time.sleep(0.1)


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """The platform with the model that this machine would serve, docs/ ingested. Its end is a test too."""
    found = Platform(environment(tmp_path_factory.mktemp("platform") / "home"))
    if not (ROOT / "models" / "slipway-reader").is_dir():
        found.env["SLIPWAY_ENGINE"] = "echo"
    done = found.cli("up")
    assert done.returncode == 0, done.stdout + done.stderr
    found.printed = done.stdout
    match = re.search(r"sk-\S+", done.stdout)
    assert match is not None
    found.key = match.group()
    yield found
    assert found.cli("down").returncode == 0
    assert left_behind(found.home.path) == []


@pytest.fixture
def own_home(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of a platform for one test alone; ended and checked after it."""
    # Without weights and without meaning: these tests are about processes.
    env = environment(tmp_path / "home", SLIPWAY_ENGINE="echo", SLIPWAY_RETRIEVER_EMBEDDER="hash")
    yield env
    slipway(env, "down")
    assert left_behind(tmp_path / "home") == []


@pytest.fixture
def slipway_command() -> "Callable[..., subprocess.CompletedProcess[str]]":
    return slipway


@pytest.fixture
def left() -> Callable[[Path], list[str]]:
    return left_behind
