"""Ports and folders out of the environment."""

import socket
from pathlib import Path

import pytest
from slipway_cli import places


def test_every_port_has_a_default_and_a_variable() -> None:
    chosen = places.ports({"SLIPWAY_PORT": "9000"})
    assert chosen.base_url == "http://127.0.0.1:9000"
    assert chosen["SLIPWAY_GATEWAY_PORT"] == 8101
    assert len(set(chosen.by_variable.values())) == len(places.DEFAULT_PORTS)


@pytest.mark.parametrize("text", ["0", "65536", "-1", "eight", "80 80", "٨٠"])
def test_what_is_no_port_is_refused_with_its_variable(text: str) -> None:
    with pytest.raises(places.PlacesError, match="SLIPWAY_REDIS_PORT"):
        places.ports({"SLIPWAY_REDIS_PORT": text})


def test_one_port_for_two_parts_is_refused_with_both_variables() -> None:
    with pytest.raises(places.PlacesError, match="SLIPWAY_GATEWAY_PORT and SLIPWAY_PORT"):
        places.ports({"SLIPWAY_GATEWAY_PORT": "8080"})


def test_a_taken_port_is_found() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert places.Ports({"SLIPWAY_PORT": port}).taken() == [("SLIPWAY_PORT", port)]
    assert places.Ports({"SLIPWAY_PORT": port}).taken() == []


def test_the_home_is_the_checkouts_unless_named(tmp_path: Path) -> None:
    assert places.home({"SLIPWAY_HOME": str(tmp_path)}).path == tmp_path
    assert places.home({}).path == places.project_root() / ".slipway"
    assert places.home({}).log("gateway").name == "gateway.log"
