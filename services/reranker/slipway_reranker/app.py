"""The reranker's composition root: settings to scorer to worker to routes."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

from fastapi import FastAPI
from slipway_shared import service
from slipway_shared.encoding.choice import Choice, told_to

from slipway_reranker.overlap import OverlapScorer
from slipway_reranker.routes import routes
from slipway_reranker.scorer import Scorer, ScorerMissing
from slipway_reranker.settings import RerankerSettings
from slipway_reranker.worker import ScoringWorker


def create_app(settings: RerankerSettings) -> FastAPI:
    """Score passages against a query, and say how likely they hold an answer."""

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        app.state.lifecycle.waiting_for = "the scorer"
        try:
            scorer = await asyncio.to_thread(load_scorer, settings, told_to(app.state.log.info, "reranking"))
        except ScorerMissing as error:
            app.state.log.error("cannot start", cause=str(error))
            raise
        app.state.lifecycle.waiting_for = "the scorer's first passes"
        await asyncio.to_thread(scorer.warm, settings.warm_seconds)
        worker = ScoringWorker(scorer, max_waiting=settings.max_waiting)
        # The first call pays for lazy tables and caches; it must not be a user's.
        await worker.score("which passage answers", ["this passage answers", "that one does not"])
        app.state.worker = worker
        app.state.lifecycle.ready()
        yield
        await asyncio.to_thread(worker.close)

    return service.build("reranker", settings, routers=[routes()], lifespan=lifespan)


def load_scorer(settings: RerankerSettings, chosen: Callable[[Choice], None] = lambda choice: None) -> Scorer:
    """The scorer that the settings name; raises ScorerMissing. `chosen` is told which engine computes it."""
    match settings.scorer:
        case "overlap":
            return OverlapScorer()
        case folder:
            from slipway_reranker.cross_encoder import open_reader
            from slipway_reranker.pairs import PairReader

            reader = PairReader.load(Path(folder), settings)
            chosen(reader.choice)
            return open_reader(Path(folder), reader)
