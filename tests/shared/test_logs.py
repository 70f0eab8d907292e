import json
import logging
import subprocess
import sys
from collections.abc import Iterator

import pytest
import structlog
from slipway_shared import context, logs


@pytest.fixture(autouse=True)
def configuration_of_others() -> Iterator[None]:
    """Logging is the process's: what a test configures, on a stream that ends with it, must not reach the next one."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    root.handlers[:], root.level = handlers, level


def test_a_line_is_one_json_object_with_the_requests_ids_and_no_secret(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("gateway")
    request = context.from_headers({"x-request-id": "r-9"}, trusted=True)
    token = context.current.set(request)
    try:
        logs.get("gateway").info("settled", tokens=3, authorization="Bearer abc", note="a\nb" * 400)
    finally:
        context.current.reset(token)
    (line,) = capsys.readouterr().err.splitlines()
    parsed = json.loads(line)
    assert (parsed["service"], parsed["event"], parsed["request_id"], parsed["tokens"]) == ("gateway", "settled", "r-9", 3)
    assert parsed["authorization"] == "[withheld]"
    assert len(parsed["note"]) <= logs.MAX_VALUE + 5


def test_whoever_logs_goes_on_when_nobody_reads() -> None:
    code = """
import os, sys
from slipway_shared import logs
reader, writer = os.pipe()
os.dup2(writer, 2)
os.close(reader)
logs.configure("test")
for _ in range(3):
    logs.get("test").error("nobody_reads", detail="x" * 400)
print("alive", flush=True)
os._exit(0)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "alive"
