import json

import pytest
from slipway_shared import context, logs


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
