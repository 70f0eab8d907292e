"""Every route needs a key, apart from the printed list."""

import re
from pathlib import Path
from typing import Any

from fastapi.routing import APIRoute
from slipway_gateway.app import create_app
from slipway_gateway.door import OPEN_ROUTES
from slipway_gateway.keys import KeyRing
from slipway_gateway.settings import GatewaySettings
from starlette.routing import Route


def routes() -> list[tuple[str, str]]:
    """Every method and path of the application, parameters filled in."""
    out: list[tuple[str, str]] = []
    pending = list(create_app(GatewaySettings.model_validate({"redis_url": None})).routes)
    while pending:
        route = pending.pop()
        pending += getattr(route, "routes", None) or getattr(getattr(route, "original_router", None), "routes", [])
        if isinstance(route, (APIRoute, Route)):
            out += [(method, re.sub(r"\{[^}]+\}", "x", route.path)) for method in route.methods or ()]
    return sorted(set(out))


async def test_every_route_is_denied_without_a_good_key(platform: Any) -> None:
    walked = routes()
    assert len(walked) > 20 and ("POST", "/v1/chat/completions") in walked and ("POST", "/v1/files") in walked
    for method, path in walked:
        for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "Basic abc"}, {"authorization": "Bearer "}):
            async with platform.client.request(method, path, headers=headers) as response:
                if path in OPEN_ROUTES:
                    assert response.status < 400, (method, path)
                elif path.startswith("/admin"):
                    assert response.status == 404, "there is no admin token here"
                else:
                    assert response.status == 401, (method, path, headers)


async def test_an_unknown_route_is_denied_before_it_is_unknown(platform: Any) -> None:
    async with platform.client.get("/v1/nothing") as response:
        assert response.status == 401
    async with platform.client.get("/v1/nothing", headers=platform.auth) as response:
        assert response.status == 404
        assert (await response.json())["error"]["code"] == "unknown_route"


def test_the_open_list_is_printed_in_the_guide() -> None:
    guide = (Path(__file__).parents[2] / "docs" / "gateway.md").read_text()
    assert all(f"`{path}`" in guide for path in OPEN_ROUTES)


async def test_without_a_bootstrap_key_nobody_gets_in() -> None:
    keys = KeyRing(None, None, seconds=1)
    assert await keys.find("") is None and await keys.find("anything") is None
