"""The service frame, as a real process on a loopback port."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

APP = '''
"""A service of two routes."""
import asyncio, contextlib
from fastapi import APIRouter, FastAPI, Request
from pydantic import BaseModel
from slipway_shared import errors, service
from slipway_shared.settings import ServiceSettings, service_config

class Settings(ServiceSettings):
    model_config = service_config("SLIPWAY_RERANKER_")

class Body(BaseModel):
    n: int

router = APIRouter()

@router.post("/v1/double")
async def double(body: Body, request: Request):
    context = request.scope["state"]["context"]
    return {"n": body.n * 2, "tenant": context.tenant, "headers": context.headers()}

@router.get("/v1/slow")
async def slow():
    await asyncio.sleep(1.0)
    return "done"

@router.get("/v1/broken")
async def broken():
    raise RuntimeError("user text that must not leak")

def create_app(settings: Settings) -> FastAPI:
    """A test service."""
    @contextlib.asynccontextmanager
    async def lifespan(app):
        app.state.lifecycle.ready()
        yield
    return service.build("reranker", settings, routers=[router], lifespan=lifespan)

if __name__ == "__main__":
    service.run("reranker", Settings, create_app)
'''


ENVIRONMENT = {**os.environ, "SLIPWAY_RERANKER_MAX_BODY_BYTES": "2048", "SLIPWAY_RERANKER_UNREADY_SECONDS": "0.8"}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    (tmp_path / "app.py").write_text(APP)
    port = free_port()
    command = [sys.executable, str(tmp_path / "app.py"), "--port", str(port)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)
    base = f"http://127.0.0.1:{port}"
    for _ in range(300):
        try:
            if httpx.get(f"{base}/readyz").status_code == 200:
                break
        except httpx.ConnectError:
            time.sleep(0.05)
    yield base, process
    process.kill()
    process.communicate()


def test_health_metrics_and_context(server: tuple[str, subprocess.Popen[str]]) -> None:
    base, _ = server
    assert httpx.get(f"{base}/healthz").text == "ok\n"
    trace = f"00-{'a' * 32}-{'b' * 16}-01"
    answer = httpx.post(
        f"{base}/v1/double", json={"n": 2}, headers={"traceparent": trace, "x-slipway-tenant": "acme", "x-request-id": "r-1"}
    )
    assert answer.json()["n"] == 4
    assert answer.json()["tenant"] == "acme"
    assert answer.json()["headers"]["traceparent"].split("-")[1] == "a" * 32
    assert answer.headers["x-request-id"] == "r-1"
    metrics = httpx.get(f"{base}/metrics")
    assert metrics.headers["content-type"].startswith("application/openmetrics-text")
    assert 'slipway_http_requests_total{method="POST",route="/v1/double",status="200"} 1.0' in metrics.text
    assert "slipway_ready 1.0" in metrics.text


def test_requests_that_are_being_served_are_counted(server: tuple[str, subprocess.Popen[str]]) -> None:
    base, _ = server

    def in_flight() -> str:
        return next(line for line in httpx.get(f"{base}/metrics").text.splitlines() if line.startswith("slipway_http_in_flight "))

    slow = [threading.Thread(target=httpx.get, args=(f"{base}/v1/slow",), kwargs={"timeout": 10}) for _ in range(2)]
    for one in slow:
        one.start()
    due = time.monotonic() + 5
    while in_flight() != "slipway_http_in_flight 2.0" and time.monotonic() < due:
        time.sleep(0.02)
    assert in_flight() == "slipway_http_in_flight 2.0"
    for one in slow:
        one.join()
    assert in_flight() == "slipway_http_in_flight 0.0"


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"{", 400, "invalid_json"),
        (b'{"n": "x"}', 400, None),
        (b"", 400, None),
        (b"x" * 4096, 413, "request_too_large"),
        (b"[" * 2000, 400, "invalid_json"),
    ],
)
def test_bad_bodies_get_an_error_object(server: tuple[str, subprocess.Popen[str]], content: bytes, status: int, code: str | None) -> None:
    answer = httpx.post(f"{server[0]}/v1/double", content=content, headers={"content-type": "application/json"})
    assert answer.status_code == status
    assert answer.json()["error"]["code"] == code


def test_a_body_without_a_length_is_bounded_too(server: tuple[str, subprocess.Popen[str]]) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(64):
            yield b"x" * 1024

    answer = httpx.post(f"{server[0]}/v1/double", content=chunks(), headers={"content-type": "application/json"})
    assert answer.status_code == 413


def test_unknown_routes_and_inner_errors_are_error_objects_that_leak_nothing(server: tuple[str, subprocess.Popen[str]]) -> None:
    base, process = server
    assert httpx.get(f"{base}/v1/nothing").json()["error"]["code"] == "unknown_route"
    assert httpx.get(f"{base}/v1/double").status_code == 405
    broken = httpx.get(f"{base}/v1/broken")
    assert broken.status_code == 500
    assert "leak" not in broken.text
    assert broken.headers["x-request-id"]
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=20)
    lines = [json.loads(line) for line in stderr.splitlines() if line.startswith("{")]
    assert any(line["event"] == "unhandled" and line["error"] == "RuntimeError" for line in lines)
    assert "leak" not in stderr


def test_sigterm_turns_readiness_off_finishes_running_requests_and_exits_cleanly(server: tuple[str, subprocess.Popen[str]]) -> None:
    base, process = server
    results: list[str] = []
    with httpx.Client() as client:
        _drain(client, base, process, results)
    assert results == ['"done"']
    assert process.wait(timeout=20) == 0


def _drain(client: httpx.Client, base: str, process: subprocess.Popen[str], results: list[str]) -> None:
    client.get(f"{base}/healthz")
    slow = threading.Thread(target=lambda: results.append(httpx.get(f"{base}/v1/slow", timeout=10).text))
    slow.start()
    time.sleep(0.3)
    process.send_signal(signal.SIGTERM)
    time.sleep(0.05)
    assert client.get(f"{base}/readyz").status_code == 503
    refused = client.post(f"{base}/v1/double", json={"n": 1})
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    slow.join()


def test_a_wrong_variable_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP)
    environment = {**os.environ, "SLIPWAY_RERANKER_PROT": "1"}
    done = subprocess.run(
        [sys.executable, str(tmp_path / "app.py")], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert "SLIPWAY_RERANKER_PROT is not a setting (did you mean SLIPWAY_RERANKER_PORT?)" in done.stderr
