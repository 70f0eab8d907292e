import json
import logging
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
