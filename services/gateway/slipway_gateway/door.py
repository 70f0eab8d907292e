"""The key check in front of every route but a short printed list.

Pure ASGI, inside the request frame: it turns a key into the tenant of the request's context and starts the deadline. It refuses to know routes.
"""

import hmac

from slipway_shared import context, errors
from slipway_shared.metrics import Metrics
from slipway_shared.middleware import ASGIApp, Message, Receive, Scope, Send, headers_of, send_error

from slipway_gateway.batches.inside import KEY
from slipway_gateway.buckets import Use
from slipway_gateway.keys import Key, KeyRing, bearer, digest
from slipway_gateway.limiter import Limiter
from slipway_gateway.traffic import Traffic

OPEN_ROUTES = frozenset({
    "/healthz", "/readyz", "/metrics", "/docs", "/openapi.json", "/", "/playground/app.js", "/playground/style.css", "/playground/docs.js",
})  # fmt: skip
"""Every path that answers without a key. docs/gateway.md prints this list and a test walks all routes against it."""

METERED_ROUTES = frozenset({"/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/embeddings"})
"""Routes that reserve tokens together with their request. Everywhere else the door counts the request."""

_ADMIN = "/admin"


class Door:
    """Lets a request in under its key's tenant, due in `deadline_seconds`. `/admin` opens to the admin token alone, and is not there without one."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        keys: KeyRing,
        limiter: Limiter,
        metrics: Metrics,
        traffic: Traffic,
        deadline_seconds: float,
        admin_token: str | None,
    ) -> None:
        self._app = app
        self._keys = keys
        self._limiter = limiter
        self._traffic = traffic
        self._deadline_seconds = deadline_seconds
        self._admin = digest(admin_token) if admin_token else None
        self._refused = metrics.counter("slipway_refused", reason="key")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope.get("path", "")
        if scope["type"] != "http" or path in OPEN_ROUTES:
            await self._app(scope, receive, send)
            return
        if (key := scope.get(KEY)) is not None:  # a line of a batch
            await self._let_in(key, {}, scope, receive, send)
            return
        secret = bearer(headers_of(scope).get("authorization", ""))
        if path == _ADMIN or path.startswith(f"{_ADMIN}/"):
            await self._administer(secret, scope, receive, send)
            return
        try:
            key = await self._keys.find(secret) if secret else None
            if key is None:
                raise _denied(secret)
            key.check_route(path)
            headers = await self._counted(key, path, scope)
        except errors.SlipwayError as error:
            if isinstance(error, (errors.Unauthorized, errors.Forbidden)):
                self._refused.inc()
            await send_error(send, error)
            return
        if path not in METERED_ROUTES:
            await self._let_in(key, headers, scope, receive, send)
            return
        self._traffic.begin()
        try:
            await self._let_in(key, headers, scope, receive, send)
        finally:
            self._traffic.end()

    async def _let_in(self, key: Key, headers: dict[str, str], scope: Scope, receive: Receive, send: Send) -> None:
        request: context.RequestContext = scope["state"]["context"]
        request = request.with_deadline(self._deadline_seconds, tenant=key.tenant)
        scope["state"]["context"], scope["state"]["key"] = request, key
        token = context.current.set(request)
        try:
            await self._app(scope, receive, _with_headers(send, headers) if headers else send)
        finally:
            context.current.reset(token)

    async def _administer(self, secret: str | None, scope: Scope, receive: Receive, send: Send) -> None:
        if self._admin is None:
            await send_error(send, errors.NotFound("No such route.", code="unknown_route"))
        elif secret is None or not hmac.compare_digest(digest(secret), self._admin):
            self._refused.inc()
            await send_error(send, _denied(secret))
        else:
            await self._app(scope, receive, send)

    async def _counted(self, key: Key, path: str, scope: Scope) -> dict[str, str]:
        if path in METERED_ROUTES:
            return {}
        grant = await self._limiter.reserve(key, scope["state"]["context"].span_id, Use())
        return grant.headers


def _denied(secret: str | None) -> errors.Unauthorized:
    if secret is None:
        return errors.Unauthorized("No API key was given. Send it as `Authorization: Bearer KEY`.", code="missing_api_key")
    return errors.Unauthorized("The API key is not valid.")


def _with_headers(send: Send, headers: dict[str, str]) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message.setdefault("headers", []).extend((name.encode(), value.encode()) for name, value in headers.items())
        await send(message)

    return sending
