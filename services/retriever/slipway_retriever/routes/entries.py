"""Files in vector stores: add, follow, read, change, remove. Adding starts a durable job; reading it shows how far it is."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import StringConstraints
from slipway_shared.dialect.chat import Wire

from slipway_retriever.routes.parts import Attributes, PageOf, PartsOf, TenantOf, list_body
from slipway_retriever.routes.strategy import Strategy, chunking
from slipway_retriever.store import entries
from slipway_retriever.store.entries import Entry


class AddFile(Wire):
    """`POST /v1/vector_stores/{id}/files`."""

    file_id: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    attributes: Attributes | None = None
    chunking_strategy: Strategy | None = None


class ChangeFile(Wire):
    """`POST /v1/vector_stores/{id}/files/{file_id}`."""

    attributes: Attributes | None


Status = Literal["in_progress", "completed", "failed", "cancelled"]


def routes() -> APIRouter:
    """`/v1/vector_stores/{id}/files`."""
    router = APIRouter(prefix="/v1/vector_stores/{store_id}/files")

    @router.post("")
    def add(store_id: str, body: AddFile, tenant: TenantOf, parts: PartsOf) -> dict[str, Any]:
        entry = entries.add(tenant, store_id, body.file_id, body.attributes or {}, chunking(body.chunking_strategy, parts.settings))
        parts.ingestion.wake(tenant)
        return shape(entry)

    @router.get("")
    def listed(
        store_id: str, tenant: TenantOf, page: PageOf, status: Annotated[Status | None, Query(alias="filter")] = None
    ) -> dict[str, Any]:
        rows, more = entries.listed(tenant, store_id, page, status)
        return list_body([shape(row) for row in rows], more)

    @router.get("/{file_id}")
    def one(store_id: str, file_id: str, tenant: TenantOf) -> dict[str, Any]:
        return shape(entries.get(tenant, store_id, file_id))

    @router.get("/{file_id}/content")
    def content(store_id: str, file_id: str, tenant: TenantOf) -> dict[str, Any]:
        text = entries.text_of(tenant, store_id, file_id)
        return {
            "object": "vector_store.file_content.page",
            "data": [{"type": "text", "text": text}] if text else [],
            "has_more": False,
            "next_page": None,
        }

    @router.post("/{file_id}")
    def change(store_id: str, file_id: str, body: ChangeFile, tenant: TenantOf) -> dict[str, Any]:
        return shape(entries.set_attributes(tenant, store_id, file_id, body.attributes or {}))

    @router.delete("/{file_id}")
    def remove(store_id: str, file_id: str, tenant: TenantOf) -> dict[str, Any]:
        entries.remove(tenant, store_id, file_id)
        return {"id": file_id, "object": "vector_store.file.deleted", "deleted": True}

    return router


def shape(entry: Entry) -> dict[str, Any]:
    """OpenAI's vector store file, with our `progress` beside it."""
    code, message = entry.error or (None, None)
    return {
        "id": entry.file_id,
        "object": "vector_store.file",
        "created_at": entry.created_at,
        "usage_bytes": entry.usage_bytes,
        "vector_store_id": entry.store_id,
        "status": entry.status,
        "last_error": {"code": code, "message": message} if code else None,
        "attributes": entry.attributes,
        "chunking_strategy": {
            "type": "static",
            "static": {"max_chunk_size_tokens": entry.chunking.tokens, "chunk_overlap_tokens": entry.chunking.overlap},
        },
        "filename": entry.filename,
        "progress": {"stage": entry.stage, "passages": entry.passages, "embedded": entry.embedded},
    }
