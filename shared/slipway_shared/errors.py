"""The platform's one error tree, the one table from error to HTTP status, and the OpenAI error object that every service answers with.

    SlipwayError
    ├── BadRequest            400 invalid_request_error      ├── Blocked             400 content_policy_violation
    │   ├── ContextOverflow   400 context_length_exceeded    ├── RateLimited         429 rate_limit_error
    │   └── TooLarge          413                            ├── Overloaded          503 overloaded_error
    ├── Unauthorized          401 authentication_error       ├── UpstreamFailed      502 upstream_error
    ├── Forbidden             403 permission_error           ├── DeadlineExceeded    504 timeout_error
    ├── NotFound              404                            └── Internal            500 server_error
    └── Conflict              409

It refuses to know about routes: a service raises, one handler (service.py) answers.
"""

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import orjson


class SlipwayError(Exception):
    """Base of every error that a caller may see. `message` is one sentence that says what to do; it never holds user text or a secret."""

    status: ClassVar[int] = 500
    type: ClassVar[str] = "server_error"
    code: ClassVar[str | None] = None

    def __init__(
        self, message: str, *, param: str | None = None, code: str | None = None, retry_after_seconds: float | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.error_code = code or self.code
        self.retry_after_seconds = retry_after_seconds

    def body(self) -> dict[str, Any]:
        """OpenAI's error object."""
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.error_code}}

    def json(self) -> bytes:
        """The error object as bytes, ready to be sent."""
        return orjson.dumps(self.body())

    def headers(self) -> dict[str, str]:
        """Retry-After in whole seconds, where waiting helps."""
        if self.retry_after_seconds is None:
            return {}
        return {"retry-after": str(max(1, round(self.retry_after_seconds + 0.499)))}


class BadRequest(SlipwayError):
    status = 400
    type = "invalid_request_error"


class ContextOverflow(BadRequest):
    code = "context_length_exceeded"


class TooLarge(BadRequest):
    status = 413
    code = "request_too_large"


class Unauthorized(SlipwayError):
    status = 401
    type = "authentication_error"
    code = "invalid_api_key"


class Forbidden(SlipwayError):
    status = 403
    type = "permission_error"


class NotFound(SlipwayError):
    status = 404
    type = "invalid_request_error"
    code = "not_found"


class Conflict(SlipwayError):
    status = 409
    type = "invalid_request_error"
    code = "conflict"


class Blocked(SlipwayError):
    status = 400
    type = "invalid_request_error"
    code = "content_policy_violation"


class RateLimited(SlipwayError):
    status = 429
    type = "rate_limit_error"
    code = "rate_limit_exceeded"


class QueueFull(RateLimited):
    """An engine takes no more now: the caller shall slow down, and nothing is broken (a 503 would count against a breaker)."""

    code = "queue_full"

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None, retry_after_seconds: float | None = 1.0) -> None:
        super().__init__(message, param=param, code=code, retry_after_seconds=retry_after_seconds)


class Overloaded(SlipwayError):
    status = 503
    type = "overloaded_error"
    code = "overloaded"

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None, retry_after_seconds: float | None = 1.0) -> None:
        super().__init__(message, param=param, code=code, retry_after_seconds=retry_after_seconds)


class UpstreamFailed(SlipwayError):
    status = 502
    type = "upstream_error"
    code = "upstream_failed"


class DeadlineExceeded(SlipwayError):
    status = 504
    type = "timeout_error"
    code = "deadline_exceeded"


class Internal(SlipwayError):
    """Something of ours broke. The message names no cause; the log does, under the request id."""


def from_validation(errors: Iterable[Mapping[str, Any]]) -> BadRequest:
    """Pydantic's error list as one sentence about its first entry; the offending value is not repeated."""
    first = next(iter(errors))
    if first["type"] == "json_invalid":
        return BadRequest("The request body is not valid JSON.", code="invalid_json")
    location = ".".join(str(part) for part in first["loc"] if part != "body")
    if first["type"] == "extra_forbidden":
        return BadRequest(f"Unrecognized request argument: {location}.", param=location, code="unknown_parameter")
    return BadRequest(f"{location or 'The body'}: {first['msg']}.", param=location or None)


def from_body(status: int, raw: bytes) -> SlipwayError:
    """The error that another service of ours (or an engine of the same dialect) answered with `status` and `raw`."""
    kinds = (
        BadRequest,
        ContextOverflow,
        TooLarge,
        Unauthorized,
        Forbidden,
        NotFound,
        Conflict,
        RateLimited,
        QueueFull,
        Overloaded,
        DeadlineExceeded,
    )
    message, param, code = "An upstream service answered with an error.", None, None
    try:
        error = orjson.loads(raw)["error"]
        message, param, code = str(error["message"]), error.get("param"), error.get("code")
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        pass
    kind = next((k for k in kinds if k.code is not None and k.code == code), None) or next(
        (k for k in kinds if k.status == status), UpstreamFailed
    )
    return kind(message, param=param, code=code)
