"""Where things lie and which ports they use. It refuses to start, read or write anything: a place is a path, a port is a number."""

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

DEFAULT_PORTS = {
    "SLIPWAY_PORT": 8080,
    "SLIPWAY_INTERNAL_PORT": 8090,
    "SLIPWAY_REDIS_PORT": 8091,
    "SLIPWAY_ADMIN_PORT": 8099,
    "SLIPWAY_GATEWAY_PORT": 8101,
    "SLIPWAY_GENERATOR_PORT": 8102,
    "SLIPWAY_RETRIEVER_PORT": 8103,
    "SLIPWAY_RERANKER_PORT": 8104,
    "SLIPWAY_SAFETY_PORT": 8105,
}
LOOPBACK = "127.0.0.1"


class PlacesError(Exception):
    """The environment names a place or a port that cannot be used; the message says which variable and why."""


@dataclass(frozen=True)
class Home:
    """The folder of everything that a running platform writes (`.slipway`, or SLIPWAY_HOME)."""

    path: Path

    @property
    def state(self) -> Path:
        return self.path / "state.json"

    @property
    def lock(self) -> Path:
        return self.path / "lock"

    @property
    def up_lock(self) -> Path:
        return self.path / "up.lock"

    @property
    def key(self) -> Path:
        return self.path / "key"

    @property
    def admin_token(self) -> Path:
        return self.path / "admin-token"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def models(self) -> Path:
        return self.path / "models"

    @property
    def envoy_config(self) -> Path:
        return self.path / "envoy.json"

    def log(self, part: str) -> Path:
        """The log file of one part."""
        return self.logs / f"{part}.log"


@dataclass(frozen=True)
class Ports:
    """One port per listener, each named by the variable that moves it."""

    by_variable: Mapping[str, int]

    def __getitem__(self, variable: str) -> int:
        return self.by_variable[variable]

    @property
    def base_url(self) -> str:
        """Where users find the platform, without the /v1."""
        return f"http://{LOOPBACK}:{self['SLIPWAY_PORT']}"

    def taken(self) -> list[tuple[str, int]]:
        """The (variable, port) pairs that another process listens on."""
        return [(name, port) for name, port in self.by_variable.items() if not _is_free(port)]


def project_root() -> Path:
    """The checkout that this package was installed from: the folder with `envoy/`, `docs/` and `models/`."""
    root = Path(__file__).resolve().parents[3]
    if not (root / "envoy" / "envoy.yaml").is_file():
        raise PlacesError(f"{root} is no Slipway checkout; install the command from one: pip install -e deploy/cli")
    return root


def home(environ: Mapping[str, str] = os.environ) -> Home:
    """SLIPWAY_HOME, else `.slipway` in the checkout."""
    named = environ.get("SLIPWAY_HOME")
    return Home(Path(named).expanduser().resolve() if named else project_root() / ".slipway")


def ports(environ: Mapping[str, str] = os.environ) -> Ports:
    """Every port from its variable, else its default; raises PlacesError for what is no port or is named twice."""
    chosen: dict[str, int] = {}
    for name, default in DEFAULT_PORTS.items():
        text = environ.get(name) or str(default)
        if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 65535):
            raise PlacesError(f"{name}={text!r} is no port; give a number from 1 to 65535")
        twin = next((other for other, port in chosen.items() if port == int(text)), None)
        if twin:
            raise PlacesError(f"{name} and {twin} are both {text}; give each part a port of its own")
        chosen[name] = int(text)
    return Ports(chosen)


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As the servers themselves do: connections of an earlier run that still time out do not make a port taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True
