"""What travels with a request from room to room: trace, request id, tenant, device class and what is left of its deadline.

It knows the header names and the W3C traceparent format (https://www.w3.org/TR/trace-context/). It refuses to know who sends or receives.
"""

import re
import secrets
import time
from collections.abc import Mapping
from contextvars import ContextVar
from typing import NamedTuple

TRACEPARENT = "traceparent"
REQUEST_ID = "x-request-id"
DEADLINE = "x-slipway-deadline-ms"
TENANT = "x-slipway-tenant"
DEVICE_CLASS = "x-slipway-device-class"

_TRACEPARENT = re.compile(r"^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$")
_SAFE_ID = re.compile(r"^[A-Za-z0-9._:-]{1,128}$")
_TENANT = re.compile(r"^[a-z0-9][a-z0-9_-]{0,63}$")
DEFAULT_TENANT = "local"
_ID_BYTES = 36
"""Ids of 16, 8 and 12 bytes: of a trace, a span and a request."""
_AT_ONCE = 64


class RequestContext(NamedTuple):
    """One request at one hop. `started` and `deadline` are on `time.monotonic()`'s clock, in seconds; no deadline is None.

    A named tuple, as are the other small records of the hot path: a frozen dataclass takes three times as long to make.
    """

    request_id: str
    trace_id: str
    span_id: str
    started: float
    sampled: bool = True
    tenant: str = DEFAULT_TENANT
    device_class: str | None = None
    deadline: float | None = None
    parent_span_id: str | None = None

    @property
    def remaining_seconds(self) -> float | None:
        """Seconds until the deadline, never below zero; None when there is none."""
        return None if self.deadline is None else max(0.0, self.deadline - time.monotonic())

    def with_deadline(self, seconds: float, *, tenant: str | None = None) -> "RequestContext":
        """The same request, due in at most `seconds` from now; `tenant`: whose it is, where that became known."""
        due = time.monotonic() + seconds
        deadline = due if self.deadline is None else min(self.deadline, due)
        return self._replace(deadline=deadline, tenant=self.tenant if tenant is None else tenant)

    def headers(self) -> dict[str, str]:
        """The headers of an internal call made on behalf of this request; its span becomes the callee's parent."""
        out = {
            TRACEPARENT: f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}",
            REQUEST_ID: self.request_id,
            TENANT: self.tenant,
        }
        if self.device_class:
            out[DEVICE_CLASS] = self.device_class
        if self.deadline is not None:
            out[DEADLINE] = str(int(max(0.0, self.deadline - time.monotonic()) * 1000))
        return out


class Entropy:
    """Random hex digits for the ids of requests, of the system's own randomness, which is asked for many requests at once: each call of it costs as much as
    all the rest of a context."""

    __slots__ = ("_digits",)

    def __init__(self) -> None:
        self._digits: list[str] = []

    def take(self) -> str:
        """72 hex digits that nobody had before."""
        if not self._digits:
            many = secrets.token_hex(_ID_BYTES * _AT_ONCE)
            self._digits = [many[at : at + 2 * _ID_BYTES] for at in range(0, len(many), 2 * _ID_BYTES)]
        return self._digits.pop()


def from_headers(headers: Mapping[str, str], *, trusted: bool, entropy: Entropy | None = None) -> RequestContext:
    """The context of an incoming request. Tenant, device class and deadline are believed only from inside (`trusted`); malformed values are replaced."""
    given, request_id = headers.get(TRACEPARENT), headers.get(REQUEST_ID)
    fresh = entropy.take() if entropy is not None else secrets.token_hex(_ID_BYTES)
    match = _TRACEPARENT.match(given) if given else None
    trace_id, parent, flags = match.groups() if match else (fresh[:32], None, "01")
    context = RequestContext(
        request_id=request_id if request_id and _SAFE_ID.match(request_id) else f"req_{fresh[48:]}",
        trace_id=trace_id,
        span_id=fresh[32:48],
        started=time.monotonic(),
        sampled=flags[-1] in "13579bdf",
        parent_span_id=parent,
    )
    return _inside(context, headers) if trusted else context


def _inside(context: RequestContext, headers: Mapping[str, str]) -> RequestContext:
    tenant = headers.get(TENANT, "")
    left = headers.get(DEADLINE, "")
    return context._replace(
        tenant=tenant if _TENANT.match(tenant) else DEFAULT_TENANT,
        device_class=headers.get(DEVICE_CLASS),
        deadline=context.started + int(left) / 1000 if left.isascii() and left.isdigit() and len(left) < 10 else None,
    )


current: ContextVar[RequestContext | None] = ContextVar("slipway_request", default=None)
"""The request being served by this task; logs read it, nothing else should."""
