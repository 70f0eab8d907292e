"""OpenAI vector stores: create, list, read, change, delete, search."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from pydantic import Field, StringConstraints
from slipway_shared.contracts import MAX_QUERY, Passage, SearchRequest
from slipway_shared.dialect.chat import Wire

from slipway_retriever.routes.parts import Attributes, Metadata, PageOf, PartsOf, TenantOf, list_body
from slipway_retriever.routes.search import run_search
from slipway_retriever.routes.strategy import Strategy, chunking
from slipway_retriever.store import entries, stores
from slipway_retriever.store.stores import Store

FileId = Annotated[str, StringConstraints(min_length=1, max_length=64)]
Name = Annotated[str, StringConstraints(max_length=256)]


class CreateStore(Wire):
    """`POST /v1/vector_stores`."""

    name: Name | None = None
    description: Annotated[str, StringConstraints(max_length=1024)] | None = None
    file_ids: Annotated[list[FileId], Field(max_length=500)] | None = None
    metadata: Metadata | None = None
    chunking_strategy: Strategy | None = None
    expires_after: None = None


class ChangeStore(Wire):
    """`POST /v1/vector_stores/{id}`."""

    name: Name | None = None
    metadata: Metadata | None = None
    expires_after: None = None


class RankingOptions(Wire):
    ranker: Literal["auto", "none", "default-2024-11-15"] = "auto"
    score_threshold: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 0.0


class SearchStore(Wire):
    """`POST /v1/vector_stores/{id}/search`. `mode` and `diversity` are our additions."""

    query: (
        Annotated[str, Field(min_length=1, max_length=MAX_QUERY)]
        | Annotated[list[Annotated[str, Field(min_length=1, max_length=MAX_QUERY)]], Field(min_length=1, max_length=8)]
    )
    max_num_results: Annotated[int, Field(ge=1, le=50)] = 10
    filters: dict[str, Any] | None = None
    ranking_options: RankingOptions = RankingOptions()
    rewrite_query: Literal[False] = False
    mode: Literal["hybrid", "dense", "bm25"] = "hybrid"
    diversity: Annotated[float, Field(ge=0, le=1)] | None = None


def routes() -> APIRouter:
    """`/v1/vector_stores`, apart from their files."""
    router = APIRouter(prefix="/v1/vector_stores")

    @router.post("")
    def create(body: CreateStore, tenant: TenantOf, parts: PartsOf) -> dict[str, Any]:
        cut = chunking(body.chunking_strategy, parts.settings)
        store = stores.create(tenant, body.name or "", body.metadata or {}, max_stores=parts.settings.max_stores)
        attributes: Attributes = {}
        for file_id in body.file_ids or ():
            entries.add(tenant, store.id, file_id, attributes, cut)
        parts.ingestion.wake(tenant)
        return shape(stores.get(tenant, store.id))

    @router.get("")
    def listed(tenant: TenantOf, page: PageOf) -> dict[str, Any]:
        rows, more = stores.listed(tenant, page)
        return list_body([shape(row) for row in rows], more)

    @router.get("/{store_id}")
    def one(tenant: TenantOf, store_id: str) -> dict[str, Any]:
        return shape(stores.get(tenant, store_id))

    @router.post("/{store_id}")
    def change(store_id: str, body: ChangeStore, tenant: TenantOf) -> dict[str, Any]:
        return shape(stores.update(tenant, store_id, body.name, body.metadata))

    @router.delete("/{store_id}")
    def delete(tenant: TenantOf, store_id: str) -> dict[str, Any]:
        return {"id": stores.delete(tenant, store_id), "object": "vector_store.deleted", "deleted": True}

    @router.post("/{store_id}/search")
    async def search(store_id: str, body: SearchStore, request: Request, tenant: TenantOf, parts: PartsOf) -> dict[str, Any]:
        queries = [body.query] if isinstance(body.query, str) else body.query
        wanted = SearchRequest(
            query="\n".join(queries)[:MAX_QUERY],
            vector_store_ids=(store_id,),
            top_k=body.max_num_results,
            mode=body.mode,
            filters=body.filters,
            diversity=body.diversity,
        )
        found = await run_search(parts, tenant, request, wanted)
        kept = [passage for passage in found.passages if passage.score >= body.ranking_options.score_threshold]
        return {
            "object": "vector_store.search_results.page",
            "search_query": queries,
            "data": [_result(passage) for passage in kept],
            "has_more": False,
            "next_page": None,
        }

    return router


def shape(store: Store) -> dict[str, Any]:
    """OpenAI's vector store object."""
    total = store.in_progress + store.completed + store.failed + store.cancelled
    return {
        "id": store.id,
        "object": "vector_store",
        "created_at": store.created_at,
        "name": store.name,
        "usage_bytes": store.usage_bytes,
        "bytes": store.usage_bytes,
        "file_counts": {
            "in_progress": store.in_progress,
            "completed": store.completed,
            "failed": store.failed,
            "cancelled": store.cancelled,
            "total": total,
        },
        "status": "in_progress" if store.in_progress else "completed",
        "expires_after": None,
        "expires_at": None,
        "last_active_at": store.last_active_at,
        "metadata": store.metadata,
    }


def _result(passage: Passage) -> dict[str, Any]:
    return {
        "file_id": passage.file_id,
        "filename": passage.filename,
        "score": passage.score,
        "attributes": passage.attributes,
        "content": [{"type": "text", "text": passage.text}],
    }
