"""What holds for every test: nothing may leave this machine."""

import ipaddress
import socket
from typing import Any

import pytest
from slipway_cli import places, weights

_connect = socket.socket.connect


def _loopback_only(self: socket.socket, address: Any) -> None:
    if self.family in (socket.AF_INET, socket.AF_INET6):
        host = str(address[0])
        if host != "localhost" and not ipaddress.ip_address(host).is_loopback:
            raise AssertionError(f"a test tried to reach {host}; tests talk to loopback only")
    _connect(self, address)


def pytest_sessionstart() -> None:
    """The embedded models are whole, as after `make setup`."""
    weights.restore(places.project_root() / "models")


@pytest.fixture(autouse=True, scope="session")
def loopback_only() -> Any:
    """Refuse every connection of the test process that would leave the machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", _loopback_only)
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.setenv("OMP_NUM_THREADS", "1")
        yield
