"""The retriever's composition root: settings to embedder, tenants, ingestion and search."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

from fastapi import FastAPI
from slipway_shared import service
from slipway_shared.encoding.choice import Choice, told_to

from slipway_retriever.embed.batcher import Batcher, Urgency
from slipway_retriever.embed.embedder import Embedder, HashEmbedder
from slipway_retriever.embed.shape import ModelMissing
from slipway_retriever.index.adaptive import AdaptiveIndex
from slipway_retriever.index.fusion import share_for
from slipway_retriever.index.index import Index
from slipway_retriever.index.qdrant import Owner, QdrantIndex, QdrantMissing, collection_name, connect
from slipway_retriever.ingest import Ingestion
from slipway_retriever.parse.document import Bounds
from slipway_retriever.parse.process import ParserProcess
from slipway_retriever.routes import batches, entries, files, search, stores
from slipway_retriever.routes.parts import Parts
from slipway_retriever.search import Searcher
from slipway_retriever.settings import RetrieverSettings
from slipway_retriever.shelf import Shelf
from slipway_retriever.store.tenants import FolderInUse, Tenants


def create_app(settings: RetrieverSettings) -> FastAPI:
    """Store files, embed their passages, and find those that answer a query."""

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        try:
            app.state.lifecycle.waiting_for = "the embedding model"
            embedder = await asyncio.to_thread(load_embedder, settings, told_to(app.state.log.info, "embedding"))
            app.state.lifecycle.waiting_for = "the data folder"
            tenants = await asyncio.to_thread(Tenants, settings.data_dir, lock_seconds=settings.lock_seconds)
            app.state.lifecycle.waiting_for = "the vector index"
            new_index = await asyncio.to_thread(index_maker, settings, embedder)
        except (ModelMissing, FolderInUse, QdrantMissing) as error:
            app.state.log.error("cannot start", cause=str(error))
            raise
        app.state.metrics.gauge("slipway_passages").set_function(tenants.passages)
        batcher = Batcher(embedder, app.state.metrics, batch_tokens=settings.batch_tokens)
        await batcher.embed(["warm up"], Urgency.QUERY)
        parser = ParserProcess(
            Bounds(settings.max_text_chars, settings.max_pages), seconds=settings.parse_seconds, memory_bytes=settings.parse_memory_bytes
        )
        ingestion = Ingestion(tenants, batcher, parser, app.state.metrics, app.state.log.info)
        await asyncio.to_thread(ingestion.start)
        searcher = Searcher(Shelf(new_index), share_for(embedder.name))
        app.state.parts = Parts(settings, tenants, batcher, ingestion, searcher)
        app.state.lifecycle.ready()
        yield
        await asyncio.to_thread(ingestion.close)
        await asyncio.to_thread(batcher.close)
        tenants.close()

    routers = [search.routes(), files.routes(), entries.routes(), batches.routes(), stores.routes()]
    return service.build("retriever", settings, routers=routers, lifespan=lifespan)


def index_maker(settings: RetrieverSettings, embedder: Embedder) -> Callable[[str, str], Index]:
    """What makes the index of a tenant's store: in this process's memory, or in Qdrant. Raises QdrantMissing."""
    if settings.qdrant is None:
        return lambda tenant, store: AdaptiveIndex(embedder.dimensions, settings.exact_below)
    key = settings.qdrant_api_key.get_secret_value() if settings.qdrant_api_key else None
    client, collection = connect(settings.qdrant, key), collection_name(embedder.digest)
    return lambda tenant, store: QdrantIndex(client, collection, embedder.dimensions, Owner(tenant, store))


def load_embedder(settings: RetrieverSettings, chosen: Callable[[Choice], None] = lambda choice: None) -> Embedder:
    """The embedder that the settings name; raises ModelMissing. The first start of a model converts it, which takes some seconds.

    `chosen` is told which engine computes it.
    """
    match settings.embedder:
        case "hash":
            return HashEmbedder()
        case "minilm" | "bge-small" | "folder":
            from slipway_retriever.embed.model_folder import BGE_PREFIX, folder_of, locate
            from slipway_retriever.embed.onnx_embedder import OnnxEmbedder

            if settings.backend == "sentence-transformers":
                from slipway_retriever.embed.torch_embedder import TorchEmbedder

                prefix = BGE_PREFIX if settings.embedder == "bge-small" and settings.query_prefix is None else settings.query_prefix
                return TorchEmbedder(folder_of(settings), prefix, settings.threads)
            cache: Path = settings.cache_dir or settings.data_dir / "cache"
            embedder = OnnxEmbedder(locate(settings), settings.precision, cache, settings.threads, settings.engine)
            chosen(embedder.choice)
            return embedder
