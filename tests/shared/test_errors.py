import orjson
import pytest
from slipway_shared import errors


def test_an_error_is_openais_object() -> None:
    error = errors.RateLimited("Slow down.", param="x", retry_after_seconds=0.2)
    assert orjson.loads(error.json()) == {
        "error": {"message": "Slow down.", "type": "rate_limit_error", "param": "x", "code": "rate_limit_exceeded"}
    }
    assert error.headers() == {"retry-after": "1"}


@pytest.mark.parametrize(
    "kind", [errors.BadRequest, errors.ContextOverflow, errors.NotFound, errors.RateLimited, errors.Overloaded, errors.DeadlineExceeded]
)
def test_an_error_survives_a_hop(kind: type[errors.SlipwayError]) -> None:
    sent = kind("Message.", param="p")
    received = errors.from_body(sent.status, sent.json())
    assert (type(received), received.message, received.param, received.error_code) == (kind, "Message.", "p", sent.error_code)


@pytest.mark.parametrize("raw", [b"", b"<html>", b"[]", b'{"error": "text"}', b'{"error": null}'])
def test_what_is_no_error_object_becomes_an_upstream_failure(raw: bytes) -> None:
    assert isinstance(errors.from_body(500, raw), errors.UpstreamFailed)
