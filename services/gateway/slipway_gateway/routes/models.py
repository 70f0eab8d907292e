"""`GET /v1/models` and `GET /v1/models/{id}`: what can be asked, with digest, device classes and measured figures."""

from fastapi import APIRouter, Request, Response
from slipway_shared.context import RequestContext

from slipway_gateway.catalog import Catalog, ModelCard, listing
from slipway_gateway.surface import described


def model_routes(catalog: Catalog) -> APIRouter:
    """The model routes on `catalog`."""
    router = APIRouter(tags=["models"])

    @router.get("/v1/models", responses=described())
    async def models(request: Request) -> Response:
        """Every model and flavor that can be asked now."""
        return Response(listing(await catalog.cards(_context(request))), media_type="application/json")

    @router.get("/v1/models/{model}", responses=described(ModelCard))
    async def model(model: str, request: Request) -> Response:
        """One of them."""
        card = await catalog.card(model, _context(request))
        return Response(card.model_dump_json(), media_type="application/json")

    return router


def _context(request: Request) -> RequestContext:
    return request.scope["state"]["context"]
