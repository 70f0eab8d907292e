"""Pure ASGI middleware: the frame of each request, and the bound on its body.

They work on raw ASGI messages, because Starlette's BaseHTTPMiddleware buffers streams and costs a task per request. They refuse to parse bodies.
"""

import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

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
        self._in_flight = metrics.gauge("slipway_http_in_flight")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if scope["path"] in self._open:
            await self._app(scope, receive, send)
            return
        request = context.from_headers(_headers(scope), trusted=self._trusted)
        scope.setdefault("state", {})["context"] = request
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

        self._in_flight.inc()
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
            self._in_flight.dec()
            route = getattr(scope.get("route"), "path", "other")
            seconds = time.monotonic() - request.started
            exemplar = {"trace_id": request.trace_id} if request.sampled else None
            self._metrics.counter("slipway_http_requests", route=route, method=scope["method"], status=str(status or 499)).inc()
            self._metrics.histogram("slipway_http_request_seconds", route=route).observe(seconds, exemplar)
            tracing.record(request, f"{scope['method']} {route}", seconds, status or 499)


class BodyLimit:
    """Refuses a body over `max_bytes` with 413: at once by its content-length, else as soon as the bytes that came exceed it."""

    def __init__(self, app: ASGIApp, *, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD", "DELETE", "OPTIONS"):
            await self._app(scope, receive, send)
            return
        limit = self._limit(scope)
        length = header(scope, b"content-length")
        if length.isdigit():
            # The server reads no more of a body than its head promised, so there is nothing to count.
            await (self._app(scope, receive, send) if int(length) <= limit else send_error(send, _too_large(limit)))
            return
        await self._count(scope, receive, send, limit)

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
        return self._max_bytes * 16 if header(scope, b"content-type").startswith(b"multipart/") else self._max_bytes


def _too_large(limit: int) -> errors.TooLarge:
    return errors.TooLarge(f"The request body is larger than {limit} bytes.")


def header(scope: Scope, name: bytes) -> bytes:
    """The first header of that (lower-case) name; empty where there is none."""
    return next((value for key, value in scope["headers"] if key == name), b"")


async def send_error(send: Send, error: errors.SlipwayError) -> None:
    """Answer with `error`'s OpenAI object, straight on the ASGI channel."""
    body = error.json()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    headers += [(k.encode(), v.encode()) for k, v in error.headers().items()]
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _headers(scope: Scope) -> dict[str, str]:
    return {k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]}
