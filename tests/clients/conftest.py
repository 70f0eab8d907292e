"""One house for all client tests: the real parts as processes on loopback, behind two gateways.

`house.url` answers with the shipped decoder on llama.cpp; `house.planner_url` with the rule-based stand-in of planner.py, for what needs a capable model.
"""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

ROOT = Path(__file__).parents[2]
MODEL = ROOT / "models" / "slipway-reader-llama" / "int8"
KEY = "sk-key-of-the-client-tests"
START_SECONDS = 120


@dataclass(frozen=True)
class House:
    """Where the gateways listen. `model` and `planner` are what they serve."""

    url: str
    planner_url: str
    generator_url: str
    model: str = "slipway-reader-llama"
    planner: str = "planner"
    key: str = KEY

    def client(self, *, planned: bool = False) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"{self.planner_url if planned else self.url}/v1", api_key=self.key, max_retries=0, timeout=60)


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def wait_ready(port: int, process: "subprocess.Popen[bytes]", due: float) -> None:
    while True:
        assert process.poll() is None, f"{process.args} ended with {process.returncode}"
        assert time.monotonic() < due, f"{process.args} did not start in time"
        try:
            if httpx.get(f"http://127.0.0.1:{port}/readyz", trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory, loopback_only: Any) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("house")
    clean = {name: value for name, value in os.environ.items() if not name.startswith("SLIPWAY_")} | {"OMP_NUM_THREADS": "1"}
    names = ("generator", "planner", "retriever", "reranker", "safety", "gateway", "second")
    ports: dict[str, int] = dict(zip(names, free_ports(len(names)), strict=True))
    url = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
    common = {
        "SLIPWAY_RETRIEVER_URL": url["retriever"], "SLIPWAY_RERANKER_URL": url["reranker"], "SLIPWAY_SAFETY_URL": url["safety"], "SLIPWAY_REDIS_URL": "",
        "SLIPWAY_GATEWAY_BOOTSTRAP_KEY": KEY, "SLIPWAY_GATEWAY_BATCH_PATIENCE_SECONDS": "0.2",
    }  # fmt: skip
    parts: dict[str, tuple[list[str], dict[str, str]]] = {
        "generator": (["-m", "slipway_generator"], {"SLIPWAY_GENERATOR_MODEL": str(MODEL) if MODEL.is_dir() else "echo"}),
        "planner": ([str(Path(__file__).parent / "planner.py")], {}),
        "retriever": (["-m", "slipway_retriever"], {"SLIPWAY_RETRIEVER_DATA_DIR": str(folder / "retriever")}),
        "reranker": (["-m", "slipway_reranker"], {}),
        "safety": (["-m", "slipway_safety_filter"], {}),
        "gateway": (
            ["-m", "slipway_gateway"],
            {**common, "SLIPWAY_GENERATOR_URL": url["generator"], "SLIPWAY_GATEWAY_STATE_FILE": str(folder / "state")},
        ),
        "second": (
            ["-m", "slipway_gateway"],
            {**common, "SLIPWAY_GENERATOR_URL": url["planner"], "SLIPWAY_GATEWAY_STATE_FILE": str(folder / "planned")},
        ),
    }
    running: dict[str, subprocess.Popen[bytes]] = {}
    due = time.monotonic() + START_SECONDS
    try:
        for name, (words, environ) in parts.items():
            with (folder / f"{name}.log").open("wb") as log:
                command = [sys.executable, *words, "--port", str(ports[name])]
                running[name] = subprocess.Popen(command, env={**clean, **environ}, stdout=log, stderr=log, cwd=folder)
        for name, process in running.items():
            wait_ready(ports[name], process, due)
        yield House(url["gateway"], url["second"], url["generator"])
    finally:
        for process in running.values():
            process.terminate()
        for process in running.values():
            process.wait(timeout=60)


@pytest.fixture(scope="session")
def client(house: House) -> Iterator[openai.OpenAI]:
    """The `openai` package on the real model."""
    with house.client() as made:
        yield made


@pytest.fixture(scope="session")
def planned(house: House) -> Iterator[openai.OpenAI]:
    """The `openai` package on the stand-in."""
    with house.client(planned=True) as made:
        yield made
