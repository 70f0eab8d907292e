"""The composition root of the gateway: every part is made here and passed on."""

import contextlib
from collections.abc import AsyncGenerator

from fastapi import FastAPI
from slipway_shared import service
from starlette.middleware import Middleware

from slipway_gateway.catalog import Catalog
from slipway_gateway.door import Door
from slipway_gateway.keys import BootstrapKeys
from slipway_gateway.leaves import Leaves, Parts
from slipway_gateway.pipeline import Pipeline
from slipway_gateway.routes.chat import chat_routes
from slipway_gateway.routes.models import model_routes
from slipway_gateway.routes.playground import playground_routes
from slipway_gateway.routes.retrieval import retrieval_routes
from slipway_gateway.settings import GatewaySettings
from slipway_gateway.surface import describe
from slipway_gateway.upstream import Session, Upstream


def create_app(settings: GatewaySettings) -> FastAPI:
    """Slipway's gateway: the only public door, with OpenAI's API, keys, and retrieval before every answer."""
    session = Session(settings.connections)
    parts = Parts(
        generator=_part("generator", settings.generator_url, session, settings),
        retriever=_part("retriever", settings.retriever_url, session, settings),
        reranker=_part("reranker", settings.reranker_url, session, settings),
        safety=_part("safety filter", settings.safety_url, session, settings),
    )
    catalog = Catalog(parts.generator, settings.catalog_seconds)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        async with session:
            if settings.bootstrap_key is None:
                app.state.log.warning(
                    "no_bootstrap_key", advice="set SLIPWAY_GATEWAY_BOOTSTRAP_KEY; every request is refused without a key"
                )
            app.state.lifecycle.ready()
            yield
            await catalog.aclose()

    app = service.build("gateway", settings, routers=[], lifespan=lifespan, trusted=False)
    pipeline = Pipeline(parts, Leaves(parts, settings), settings, app.state.metrics)
    for router in (
        chat_routes(pipeline, catalog, keepalive_seconds=settings.keepalive_seconds),
        model_routes(catalog),
        retrieval_routes(parts.retriever),
        playground_routes(),
    ):
        app.include_router(router)
    bootstrap = settings.bootstrap_key.get_secret_value() if settings.bootstrap_key else None
    # Last in the list is innermost: the door stands inside the request frame, whose context it completes.
    door = Middleware(Door, keys=BootstrapKeys(bootstrap), metrics=app.state.metrics, deadline_seconds=settings.deadline_seconds)
    app.user_middleware.append(door)
    describe(app)
    return app


def _part(name: str, url: str | None, session: Session, settings: GatewaySettings) -> Upstream | None:
    if url is None:
        return None
    return Upstream(name, url, session, connect_seconds=settings.connect_seconds, idle_seconds=settings.idle_seconds)
