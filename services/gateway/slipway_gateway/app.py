"""The composition root of the gateway: every part is made here and passed on."""

import contextlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastapi import FastAPI, Request, Response
from pydantic import SecretStr
from slipway_shared import service
from slipway_shared.metrics import Metrics
from starlette.middleware import Middleware

from slipway_gateway.account import Accounts
from slipway_gateway.batches.files import BatchFiles
from slipway_gateway.batches.lines import Bounds as BatchBounds
from slipway_gateway.batches.redis_store import RedisBatches
from slipway_gateway.batches.runner import Runner
from slipway_gateway.batches.sqlite_store import SqliteBatches
from slipway_gateway.batches.store import BatchStore
from slipway_gateway.budgets import Budgets
from slipway_gateway.builds import Builds
from slipway_gateway.catalog import Catalog
from slipway_gateway.desk import CALLER_GONE, Desk
from slipway_gateway.dial import Session
from slipway_gateway.door import Door
from slipway_gateway.express import Express, express_routes
from slipway_gateway.idempotency import Idempotency
from slipway_gateway.keys import KeyRing, KeyStore
from slipway_gateway.keystores import FileKeys, RedisKeys
from slipway_gateway.leaves import Leaves, Parts
from slipway_gateway.limiter import Limiter
from slipway_gateway.pipeline import Pipeline
from slipway_gateway.pools import Pool, PoolSpec, Workers
from slipway_gateway.redis_client import connect
from slipway_gateway.responses.store import ResponseStore
from slipway_gateway.routes.admin import admin_routes
from slipway_gateway.routes.batches import batch_routes
from slipway_gateway.routes.builds import build_routes
from slipway_gateway.routes.chat import chat_routes
from slipway_gateway.routes.completions import completion_routes
from slipway_gateway.routes.models import model_routes
from slipway_gateway.routes.parts import part_routes
from slipway_gateway.routes.playground import playground_routes
from slipway_gateway.routes.responses import Background, response_routes
from slipway_gateway.routes.retrieval import retrieval_routes
from slipway_gateway.routing import Router
from slipway_gateway.safety import Safety
from slipway_gateway.settings import GatewaySettings
from slipway_gateway.shelf import MemoryShelf, RedisShelf, Shelf, SqliteShelf
from slipway_gateway.streaming import Gone
from slipway_gateway.surface import describe
from slipway_gateway.traffic import Traffic
from slipway_gateway.upstream import Bounds, Upstream
from slipway_gateway.watchdog import Watchdog

if TYPE_CHECKING:
    from redis.asyncio import Redis

_FOREIGN_DOCS = frozenset({"/docs", "/docs/oauth2-redirect", "/redoc"})


@dataclass(frozen=True, slots=True)
class Wired:
    """What the routes need, made once."""

    session: Session
    parts: Parts
    router: Router
    catalog: Catalog
    safety: Safety
    pipeline: Pipeline
    redis: "Redis | None"
    store: KeyStore | None
    keys: KeyRing
    limiter: Limiter
    accounts: Accounts
    background: Background
    traffic: Traffic
    shelf: Shelf
    batches: BatchStore
    batch_files: BatchFiles
    runner: Runner


def create_app(settings: GatewaySettings) -> FastAPI:
    """Slipway's gateway: the only public door, with OpenAI's API, keys, and retrieval before every answer."""
    app = service.build("gateway", settings, routers=[], lifespan=_lifespan, trusted=False)
    # FastAPI's own documentation pages load scripts from elsewhere; ours stand among the playground's routes.
    app.router.routes[:] = [route for route in app.router.routes if getattr(route, "path", "") not in _FOREIGN_DOCS]
    wired = app.state.wired = _wire(settings, app.state.metrics)
    desk = Desk(wired.catalog, wired.accounts, wired.router, app.state.metrics, keepalive_seconds=settings.keepalive_seconds)
    routers = (
        chat_routes(desk, wired.pipeline, wired.accounts, Idempotency(wired.shelf, settings.idempotency_seconds)),
        response_routes(desk, wired.pipeline, wired.accounts, ResponseStore(wired.shelf, settings.response_seconds), wired.background),
        completion_routes(desk, wired.safety, wired.catalog, wired.accounts, settings),
        part_routes(wired.parts, wired.accounts),
        model_routes(wired.catalog),
        build_routes(Builds(settings.models_dir)),
        retrieval_routes(wired.parts.retriever),
        batch_routes(wired.batches, wired.batch_files, wired.runner),
        playground_routes(),
        admin_routes(wired.store, wired.keys),
    )
    for router in routers:
        app.include_router(router)
    app.add_exception_handler(Gone, _nobody_waits)
    # Last in the list is innermost: the door stands inside the request frame, whose context it completes.
    door = Middleware(
        Door,
        keys=wired.keys,
        limiter=wired.limiter,
        metrics=app.state.metrics,
        traffic=wired.traffic,
        deadline_seconds=settings.deadline_seconds,
        admin_token=_told(settings.admin_token),
    )
    app.user_middleware.append(door)
    app.user_middleware.append(
        Middleware(Express, routes=express_routes([route for router in routers for route in router.routes]), gone=CALLER_GONE)
    )
    describe(app)
    return app


async def _nobody_waits(_request: Request, _error: Exception) -> Response:
    """A caller who hung up while it waited for its turn: nobody receives this."""
    return Response(status_code=CALLER_GONE)


def _wire(settings: GatewaySettings, metrics: Metrics) -> Wired:
    session = Session(settings.connections, tick_seconds=settings.tick_seconds)
    bounds = Bounds(settings.connect_seconds, settings.idle_seconds, settings.breaker_failures, settings.breaker_seconds)

    def part(name: str, url: str | None) -> Upstream | None:
        return Upstream(name, url, session, bounds, metrics) if url else None

    pools = _pools(settings, session, bounds, metrics)
    parts = Parts(
        generator=pools[0].workers if pools else None,
        retriever=part("retriever", settings.retriever_url),
        reranker=part("reranker", settings.reranker_url),
        safety=part("safety filter", settings.safety_url),
    )
    router = Router(pools, settings.fallbacks, metrics)
    redis = connect(settings.redis_url, seconds=settings.redis_seconds) if settings.redis_url is not None else None
    store = FileKeys(settings.keys_file) if settings.keys_file else RedisKeys(redis) if redis else None
    limiter = Limiter(redis, metrics, local_share=settings.local_share, lease_seconds=settings.deadline_seconds)
    leaves = Leaves(parts, settings, metrics)
    safety = Safety(leaves, metrics, present=parts.safety is not None, fail_open=settings.safety_fail_open)
    keys = KeyRing(store, _told(settings.bootstrap_key), seconds=settings.key_cache_seconds)
    traffic = Traffic()
    batches = SqliteBatches(settings.state_file) if settings.state_file or redis is None else RedisBatches(redis)
    batch_files = BatchFiles(parts.retriever, settings.batch_bytes)
    return Wired(
        session=session,
        parts=parts,
        router=router,
        catalog=Catalog(pools, settings.catalog_seconds),
        safety=safety,
        pipeline=Pipeline(parts, leaves, safety, router, settings, metrics),
        redis=redis,
        store=store,
        keys=keys,
        limiter=limiter,
        accounts=Accounts(limiter, settings.prices, metrics),
        background=Background(),
        traffic=traffic,
        shelf=SqliteShelf(settings.state_file) if settings.state_file else RedisShelf(redis) if redis else MemoryShelf(),
        batches=batches,
        batch_files=batch_files,
        runner=Runner(
            batches,
            batch_files,
            keys,
            traffic,
            metrics,
            bounds=BatchBounds(settings.batch_lines, settings.batch_bytes, settings.max_body_bytes),
            concurrency=settings.batch_concurrency,
            lease_seconds=settings.batch_lease_seconds,
            patience_seconds=settings.batch_patience_seconds,
        ),
    )


def _pools(settings: GatewaySettings, session: Session, bounds: Bounds, metrics: Metrics) -> list[Pool]:
    specs = settings.pools
    if not specs and settings.generator_url:
        specs = (PoolSpec(name="default", urls=(settings.generator_url,)),)
    workers = [Workers(spec, session, bounds, metrics) for spec in specs]
    return [Pool(spec, one, queue_tokens=settings.queue_tokens, metrics=metrics) for spec, one in zip(specs, workers, strict=True)]


def _told(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret is not None else None


@contextlib.asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncGenerator[None]:
    wired: Wired = app.state.wired
    settings: GatewaySettings = app.state.settings
    async with wired.session:
        if settings.bootstrap_key is None:
            app.state.log.warning("no_bootstrap_key", advice="set SLIPWAY_GATEWAY_BOOTSTRAP_KEY; every request is refused without a key")
        app.state.lifecycle.ready()
        wired.runner.start(app)
        watchdog = Watchdog(wired.router.pools, wired.catalog, app.state.metrics, app.state.log, seconds=settings.watchdog_seconds)
        watchdog.start()
        budgets = Budgets(wired.store, wired.limiter, app.state.metrics, app.state.log, seconds=settings.budget_seconds)
        budgets.start()
        yield
        await budgets.aclose()
        await watchdog.aclose()
        await wired.runner.aclose()
        await wired.background.aclose()
        await wired.catalog.aclose()
        await wired.limiter.aclose()
        await wired.shelf.aclose()
    if wired.redis is not None:
        await wired.redis.aclose()
