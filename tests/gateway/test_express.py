"""The short way for the busiest routes: the same answers, errors, labels and headers as by the router."""

from typing import Any

from slipway_gateway.express import express_routes
from starlette.routing import Route


async def test_what_the_router_would_say_is_said(platform: Any) -> None:
    answer = await platform.chat()
    assert answer["_headers"]["x-request-id"]
    assert answer["_headers"]["x-slipway-pool"] == "default"
    refused = await platform.chat(expect=400, temperature=9)
    assert refused["error"]["type"] == "invalid_request_error"
    async with platform.client.get("/v1/chat/completions", headers=platform.auth) as response:
        assert (response.status, response.headers["allow"]) == (405, "POST")
    async with platform.client.post("/v1/chat/completions/", json={}, headers=platform.auth) as response:
        assert response.status == 404 or response.history
    async with platform.client.get("/metrics") as response:
        text = await response.text()
    assert 'slipway_http_requests_total{method="POST",route="/v1/chat/completions",status="200"}' in text
    assert 'slipway_http_requests_total{method="POST",route="/v1/chat/completions",status="400"}' in text


def test_only_posts_of_a_fixed_path_that_read_their_own_body_take_it() -> None:
    from fastapi import APIRouter, Request, Response

    router = APIRouter()

    @router.post("/plain")
    async def plain(request: Request) -> Response:
        return Response()

    @router.post("/with/{name}")
    async def named(request: Request, name: str) -> Response:
        return Response(name)

    @router.get("/got")
    async def got(request: Request) -> Response:
        return Response()

    assert list(express_routes([*router.routes, Route("/other", plain)])) == ["/plain"]
    assert [plain, named, got]
