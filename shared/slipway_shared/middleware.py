"""Pure ASGI middleware: the frame of each request, and the bound on its body.

They work on raw ASGI messages, because Starlette's BaseHTTPMiddleware buffers streams and costs a task per request. They refuse to parse bodies.
"""

import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from prometheus_client import Counter, Histogram

from slipway_shared import context, errors, tracing
from slipway_shared.lifecycle import Lifecycle
from slipway_shared.metrics import Metrics

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]


class RequestFrame:
    """Reads the request's context, answers 503 while draining, counts and times the request, and returns its id in `x-request-id`."""

    def __init__(
        self, app: ASGIApp, *, metrics: Metrics, lifecycle: Lifecycle, trusted: bool, open_routes: frozenset[str], log: Any
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._lifecycle = lifecycle
        self._trusted = trusted
        self._open = open_routes
        self._log = log
        self._entropy = context.Entropy()
        self._in_flight = 0
        metrics.gauge("slipway_http_in_flight").set_function(lambda: self._in_flight)
        # As many as the metrics themselves keep: routes times methods times statuses.
        self._instruments: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if scope["path"] in self._open:
            await self._app(scope, receive, send)
            return
        request = context.from_headers(headers_of(scope), trusted=self._trusted, entropy=self._entropy)
        scope["state"]["context"] = request
        token = context.current.set(request)
        if self._lifecycle.draining:
            try:
                await send_error(
                    send, errors.Overloaded("This instance is shutting down; try again.", code="draining", retry_after_seconds=1.0)
                )
            finally:
                context.current.reset(token)
            return
        await self._serve(scope, receive, send, request)
        context.current.reset(token)

    async def _serve(self, scope: Scope, receive: Receive, send: Send, request: context.RequestContext) -> None:
        status: int | None = None

        async def send_framed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message.setdefault("headers", []).append((b"x-request-id", request.request_id.encode()))
            await send(message)

        self._in_flight += 1
        try:
            await self._app(scope, receive, send_framed)
        except Exception as error:
            self._log.error("unhandled", exc_info=error)
            if status is not None:
                raise  # headers are out: only a cut connection still tells the caller
            await send_error(
                send_framed, errors.Internal("Something went wrong on our side; the request id in x-request-id leads to the log line.")
            )
        finally:
            self._in_flight -= 1
            self._measure(scope, request, status or 499)

    def _measure(self, scope: Scope, request: context.RequestContext, status: int) -> None:
        route, method = getattr(scope.get("route"), "path", "other"), scope["method"]
        seconds = time.monotonic() - request.started
        known = self._instruments.get((route, method, status))
        if known is None:
            counter = self._metrics.counter("slipway_http_requests", route=route, method=method, status=str(status))
            known = counter, self._metrics.histogram("slipway_http_request_seconds", route=route)
            self._instruments[route, method, status] = known
        known[0].inc()
        known[1].observe(seconds, {"trace_id": request.trace_id} if request.sampled else None)
        tracing.record(request, method, route, seconds, status)


class BodyLimit:
    """Refuses a body over `max_bytes` with 413: at once by its content-length, else as soon as the bytes that came exceed it."""

    def __init__(self, app: ASGIApp, *, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD", "DELETE", "OPTIONS"):
            await self._app(scope, receive, send)
            return
        length = headers_of(scope).get("content-length", "")
        if length.isascii() and length.isdigit() and len(length) < 19:
            # The server reads no more of a body than its head promised, so there is nothing to count.
            if int(length) > self._max_bytes and int(length) > (limit := self._limit(scope)):
                await send_error(send, _too_large(limit))
            else:
                await self._app(scope, receive, send)
            return
        await self._count(scope, receive, send, self._limit(scope))

    async def _count(self, scope: Scope, receive: Receive, send: Send, limit: int) -> None:
        seen = 0
        answered = False

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > limit:
                raise _too_large(limit)
            return message

        async def send_bounded(message: Message) -> None:
            # Whatever the route made of the cut body (a parse error, usually), the caller is told the true reason.
            nonlocal answered
            if seen <= limit:
                await send(message)
            elif not answered:
                answered = True
                await send_error(send, _too_large(limit))

        await self._app(scope, counted, send_bounded)

    def _limit(self, scope: Scope) -> int:
        # Files are bounded by the route that stores them, part by part; JSON is bounded here.
        return self._max_bytes * 16 if headers_of(scope).get("content-type", "").startswith("multipart/") else self._max_bytes


def _too_large(limit: int) -> errors.TooLarge:
    return errors.TooLarge(f"The request body is larger than {limit} bytes.")


def headers_of(scope: Scope) -> Mapping[str, str]:
    """The request's headers by lower-case name, read once a request; of several with one name the first counts."""
    state: dict[str, Any] = scope.setdefault("state", {})
    known: dict[str, str] | None = state.get("headers")
    if known is None:
        known = state["headers"] = {name.decode("latin-1"): value.decode("latin-1") for name, value in reversed(scope["headers"])}
    return known


async def send_error(send: Send, error: errors.SlipwayError) -> None:
    """Answer with `error`'s OpenAI object, straight on the ASGI channel."""
    body = error.json()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    headers += [(k.encode(), v.encode()) for k, v in error.headers().items()]
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
