"""The generator's composition root: model card, engine, routes, readiness."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator

from fastapi import FastAPI
from slipway_shared import service

from slipway_generator import model
from slipway_generator.engine import GenerateRequest
from slipway_generator.engines.choice import open_model
from slipway_generator.measured import Meter
from slipway_generator.opened import Opened
from slipway_generator.routes import adapters, chat, completions, models
from slipway_generator.settings import Settings
from slipway_generator.tokenizer import Piece, encode_prompt

WARM_UP_SECONDS = 120.0


def create_app(settings: Settings) -> FastAPI:
    """Serve one model flavor: chat, completions and its tokenizer, in the OpenAI dialect."""
    card = model.identify(settings)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        log, lifecycle = app.state.log, app.state.lifecycle
        lifecycle.waiting_for = "model"
        try:
            opened = await open_model(card, settings, log)
        except model.StartRefused as refused:
            log.error("start refused", reason=str(refused))
            raise
        app.state.opened, app.state.adapters = opened, opened.adapters()
        app.state.meter = Meter(app.state.metrics, opened.engine, card.id)
        lifecycle.probes.append(lambda: opened.engine.load().problem)
        try:
            lifecycle.waiting_for = "warm-up"
            await _warm_up(opened)
            lifecycle.ready()
            log.info("ready", model=card.id, digest=card.digest, engine=card.engine, context_tokens=card.context_tokens)
            yield
        finally:
            await opened.engine.aclose()

    return service.build(
        "generator", settings, routers=[chat.router, completions.router, models.router, adapters.router], lifespan=lifespan
    )


async def _warm_up(opened: Opened) -> None:
    """Generate a few tokens, so that no user pays for first-use costs and a model that cannot run is never ready."""
    prompt = encode_prompt(opened.tokenizer, [Piece("warm up")])
    request = GenerateRequest(id="warm-up", prompt=prompt, max_tokens=4, tenant="-", deadline=time.monotonic() + WARM_UP_SECONDS)
    async with asyncio.timeout(WARM_UP_SECONDS), contextlib.aclosing(opened.engine.generate(request)) as deltas:
        async for _ in deltas:
            pass
