"""The busiest routes without the framework's router in between: it costs a third of a chat request's CPU time (`make bench-gateway`).

It answers a POST whose path is exactly one of its routes by calling the same function that the router would call; everything else goes on to the router.
It refuses to know what a route does.
"""

import inspect
from collections.abc import Mapping, Sequence

from fastapi.routing import APIRoute
from slipway_shared import errors
from slipway_shared.middleware import ASGIApp, Receive, Scope, Send, send_error
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from slipway_gateway.streaming import Gone


class Express:
    """Innermost: the door and the request frame have seen the request already."""

    def __init__(self, app: ASGIApp, *, routes: Mapping[str, APIRoute], gone: int) -> None:
        """`gone`: the status that is noted for a caller who hung up."""
        self._app = app
        self._routes = routes
        self._gone = gone

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = self._routes.get(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else None
        if route is None:
            await self._app(scope, receive, send)
            return
        scope["route"] = route
        try:
            response: Response = await route.endpoint(Request(scope, receive, send))
            await response(scope, receive, send)
        except errors.SlipwayError as error:
            await send_error(send, error)
        except Gone:
            await Response(status_code=self._gone)(scope, receive, send)


def express_routes(routes: Sequence[BaseRoute]) -> dict[str, APIRoute]:
    """Of `routes` those that read their own body: POST, a fixed path, and a function of the request alone."""
    return {
        route.path: route
        for route in routes
        if isinstance(route, APIRoute)
        and route.methods == {"POST"}
        and "{" not in route.path
        and list(inspect.signature(route.endpoint).parameters) == ["request"]
        and not route.dependencies
    }
