"""The key check in front of every route but a short printed list.

Pure ASGI, inside the request frame: it turns a key into the tenant of the request's context and starts the deadline. It refuses to know routes.
"""

from dataclasses import replace

from slipway_shared import context, errors
from slipway_shared.metrics import Metrics
from slipway_shared.middleware import ASGIApp, Receive, Scope, Send, send_error

from slipway_gateway.keys import KeyRing, bearer, digest

OPEN_ROUTES = frozenset({
    "/healthz", "/readyz", "/metrics", "/docs", "/openapi.json", "/", "/playground/app.js", "/playground/style.css", "/favicon.ico",
})  # fmt: skip
"""Every path that answers without a key. docs/gateway.md prints this list and a test walks all routes against it."""

_NO_KEY = errors.Unauthorized("No API key was given. Send it as `Authorization: Bearer KEY`.", code="missing_api_key")
_BAD_KEY = errors.Unauthorized("The API key is not valid.")


class Door:
    """Lets a request in under its key's tenant, due in `deadline_seconds`."""

    def __init__(self, app: ASGIApp, *, keys: KeyRing, metrics: Metrics, deadline_seconds: float) -> None:
        self._app = app
        self._keys = keys
        self._deadline_seconds = deadline_seconds
        self._refused = metrics.counter("slipway_refused", reason="key")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in OPEN_ROUTES:
            await self._app(scope, receive, send)
            return
        secret = bearer(_authorization(scope))
        key = await self._keys.find(digest(secret)) if secret else None
        if key is None:
            self._refused.inc()
            await send_error(send, _BAD_KEY if secret else _NO_KEY)
            return
        request: context.RequestContext = scope["state"]["context"]
        request = replace(request, tenant=key.tenant).with_deadline(self._deadline_seconds)
        scope["state"]["context"], scope["state"]["key"] = request, key
        token = context.current.set(request)
        try:
            await self._app(scope, receive, send)
        finally:
            context.current.reset(token)


def _authorization(scope: Scope) -> str:
    return next((value.decode("latin-1") for name, value in scope["headers"] if name == b"authorization"), "")
