"""The frame around every service: health, readiness, metrics, request context, body bounds, the error handler, and a graceful end.

`build` makes the FastAPI application, `run` is a process's entry point. It refuses to know what any service does.
"""

import argparse
import asyncio
import contextlib
import gc
import re
import resource
import signal
import socket
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar

import uvicorn
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import PlainTextResponse
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Match, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from slipway_shared import errors, logs, tracing
from slipway_shared.joining import JoinedHttp
from slipway_shared.lifecycle import Lifecycle
from slipway_shared.metrics import CONTENT_TYPE, Metrics
from slipway_shared.middleware import BodyLimit, RequestFrame
from slipway_shared.settings import ServiceSettings, load_or_exit

SettingsT = TypeVar("SettingsT", bound=ServiceSettings)
OPEN_ROUTES = frozenset({"/healthz", "/readyz", "/metrics"})


Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


class Application(FastAPI):
    """FastAPI with our middlewares outside of its own: they are plain ASGI and answer for themselves, and a request that they answer pays for nothing else."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            # As Starlette does it. FastAPI's own looks three variables of the environment up for every request, for a telemetry that nobody turned on.
            scope["app"] = self
            if self.middleware_stack is None:
                self.middleware_stack = self.build_middleware_stack()
            await self.middleware_stack(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)

    def build_middleware_stack(self) -> ASGIApp:
        ours, self.user_middleware = self.user_middleware, []
        try:
            stack = super().build_middleware_stack()
        finally:
            self.user_middleware = ours
        for one in reversed(ours):
            stack = one.cls(stack, *one.args, **one.kwargs)
        return stack


def build(
    name: str, settings: ServiceSettings, *, routers: Sequence[APIRouter], lifespan: Lifespan, trusted: bool = True, version: str = "0.1.0"
) -> FastAPI:
    """The application of service `name`. `lifespan` starts its parts, stores them on `app.state`, and calls `app.state.lifecycle.ready()`.

    `trusted`: whether tenant and deadline headers are believed (every service behind the gateway) or not (the gateway itself).
    """
    metrics = Metrics(name)
    app = Application(title=f"Slipway {name}", version=version, lifespan=_started(lifespan))
    app.state.settings, app.state.metrics = settings, metrics
    app.state.lifecycle = Lifecycle(metrics)
    app.state.log = logs.get(name)
    app.include_router(_health())
    for router in routers:
        app.include_router(router)
    _handle_errors(app)
    app.add_middleware(BodyLimit, max_bytes=settings.max_body_bytes)
    app.add_middleware(
        RequestFrame, metrics=metrics, lifecycle=app.state.lifecycle, trusted=trusted, open_routes=OPEN_ROUTES, log=app.state.log
    )
    return app


def run(name: str, settings: type[SettingsT], create_app: Callable[[SettingsT], FastAPI], argv: Sequence[str] | None = None) -> None:
    """`python -m slipway_<name>`: parse --host and --port, load the settings, serve until SIGTERM, drain."""
    parser = argparse.ArgumentParser(
        prog=f"slipway_{name.replace('-', '_')}", description=(create_app.__doc__ or "").strip().split("\n")[0]
    )
    parser.add_argument("--port", type=int, help="port to listen on (default: the service's own; 0 lets the system choose)")
    parser.add_argument("--host", help="address to listen on (default 127.0.0.1)")
    given = {key: value for key, value in vars(parser.parse_args(argv)).items() if value is not None}
    loaded = load_or_exit(settings, **given)
    logs.configure(name, loaded.log_level)
    app = create_app(loaded)
    config = uvicorn.Config(
        app,
        host=loaded.host,
        port=loaded.port,
        loop="uvloop",
        http=JoinedHttp,
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        date_header=False,
        proxy_headers=False,  # nobody asks where a request came from
        backlog=2048,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=max(1, round(loaded.drain_seconds)),
    )
    server = DrainingServer(config, app.state.lifecycle, loaded.unready_seconds)
    server.run()
    sys.exit(0 if server.started else 3)


class DrainingServer(uvicorn.Server):
    """uvicorn, but SIGTERM first turns readiness off, and only then closes the listener and waits for running requests."""

    def __init__(self, config: uvicorn.Config, lifecycle: Lifecycle, unready_seconds: float) -> None:
        super().__init__(config)
        self._lifecycle = lifecycle
        self._unready_seconds = unready_seconds
        self._serving: asyncio.AbstractEventLoop | None = None

    def handle_exit(self, sig: int, frame: Any) -> None:
        # Called as a signal handler, between two byte codes of whatever the loop is doing: only hand the news to the loop, and wake it.
        if self._lifecycle.draining:
            self.force_exit = sig == signal.SIGINT
            self.should_exit = True
        elif self._serving is None:
            self.should_exit = True
        else:
            self._serving.call_soon_threadsafe(self._drain)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        # What was made so far stays for ever: the collector need not walk it, nor look after every few requests.
        gc.collect()
        gc.freeze()
        gc.set_threshold(10_000, 20, 50)
        gc.enable()
        self._serving = asyncio.get_running_loop()

    def _drain(self) -> None:
        self._lifecycle.drain()
        asyncio.get_running_loop().call_later(self._unready_seconds, self._close)

    def _close(self) -> None:
        self.should_exit = True


def _started(lifespan: Lifespan) -> Lifespan:
    @contextlib.asynccontextmanager
    async def wrapped(app: FastAPI) -> AsyncGenerator[None]:
        if endpoint := app.state.settings.otlp_endpoint:
            tracing.export_to(endpoint, app.title.removeprefix("Slipway "))
        async with lifespan(app):
            yield
            app.state.lifecycle.drain()
        tracing.flush()

    return wrapped


def _health() -> APIRouter:
    router = APIRouter(include_in_schema=False)

    @router.get("/healthz")
    async def healthz() -> PlainTextResponse:
        return PlainTextResponse("ok\n")

    @router.get("/readyz")
    async def readyz(request: Request) -> PlainTextResponse:
        problem = request.app.state.lifecycle.problem()
        return PlainTextResponse(f"{problem or 'ready'}\n", status_code=503 if problem else 200)

    @router.get("/metrics")
    async def metrics(request: Request) -> Response:
        # ru_maxrss is in KiB on Linux, in bytes on macOS.
        unit = 1 if sys.platform == "darwin" else 1024
        request.app.state.metrics.gauge("slipway_peak_rss_bytes").set(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)
        return Response(request.app.state.metrics.exposition(), media_type=CONTENT_TYPE)

    return router


def answer(error: errors.SlipwayError) -> Response:
    """`error` as an HTTP response."""
    return Response(error.json(), status_code=error.status, media_type="application/json", headers=error.headers())


def _handle_errors(app: FastAPI) -> None:
    async def slipway(_request: Request, error: Exception) -> Response:
        assert isinstance(error, errors.SlipwayError)
        return answer(error)

    async def validation(_request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return answer(errors.from_validation(error.errors()))

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if error.status_code == 400 and error.__cause__ is not None:
            # What FastAPI makes of a body that its parser gave up on (nesting too deep, bytes that are no text).
            return answer(errors.BadRequest("The request body is not valid JSON.", code="invalid_json"))
        message = f"No route {request.method} {_printable(request.url.path)}." if error.status_code in (404, 405) else str(error.detail)
        body = errors.NotFound(message, code="unknown_route") if error.status_code == 404 else errors.BadRequest(message)
        headers = dict(error.headers or {})
        if error.status_code == 405:
            headers["Allow"] = ", ".join(sorted(_methods(request)))
        return Response(body.json(), status_code=error.status_code, media_type="application/json", headers=headers)

    handlers: dict[type[Exception], Callable[[Request, Exception], Awaitable[Response]]] = {
        errors.SlipwayError: slipway, RequestValidationError: validation, HTTPException: http,
    }  # fmt: skip
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)


def _methods(request: Request) -> set[str]:
    """Every method that some route answers at this path; the framework names those of the first one only."""
    found = [route for route in flat(request.app.routes) if route.matches(request.scope)[0] is not Match.NONE]
    return {method for route in found for method in route.methods or ()}


def flat(routes: Sequence[BaseRoute]) -> Iterator[Route]:
    """Every route, those of included routers too."""
    for route in routes:
        if isinstance(route, Route):
            yield route
        else:  # an included router
            yield from flat(getattr(getattr(route, "original_router", route), "routes", ()))


def _printable(path: str) -> str:
    return re.sub(r"[^\x21-\x7e]", "?", path)[:200]
