"""Imports without their optional parts, each in a process of its own: what this one has imported already says nothing."""

import subprocess
import sys

import pytest
from slipway_shared.lean import without


def _run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def test_what_is_left_out_can_be_imported_later() -> None:
    code = """
from slipway_shared.lean import without
with without("colorsys"):
    try:
        import colorsys
    except ImportError:
        print("not there")
import colorsys
print(colorsys.__name__)
"""
    assert _run(code).split("\n") == ["not there", "colorsys"]


def test_what_is_there_already_stays() -> None:
    with without("subprocess"):
        import subprocess as again
    assert again is subprocess


def test_a_module_comes_back_also_when_the_block_fails() -> None:
    with pytest.raises(ValueError, match="no"), without("slipway_nowhere"):
        raise ValueError("no")
    assert "slipway_nowhere" not in sys.modules


def test_a_gateway_without_redis_loads_none_of_its_client() -> None:
    code = "import sys, slipway_gateway.app; print(sorted({'redis', 'rich', 'opentelemetry.sdk'} & sys.modules.keys()))"
    assert _run(code) == "[]"


def test_the_gateway_reaches_its_redis_without_the_clients_telemetry() -> None:
    code = """
import sys
from slipway_gateway.redis_client import connect, lost
connect("redis://127.0.0.1:1/0", seconds=0.1)
print("opentelemetry.sdk.metrics" in sys.modules, lost()[0].__name__)
"""
    assert _run(code) == "False RedisError"
