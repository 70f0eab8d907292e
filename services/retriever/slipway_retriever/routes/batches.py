"""OpenAI's file batches: many files into a store with one call, followed and cancelled as one."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field, StringConstraints
from slipway_shared import errors
from slipway_shared.dialect.chat import Wire

from slipway_retriever.routes.entries import Status, shape
from slipway_retriever.routes.parts import Attributes, PageOf, PartsOf, TenantOf, list_body
from slipway_retriever.routes.strategy import Strategy, chunking
from slipway_retriever.store import batches, entries, files, stores
from slipway_retriever.store.batches import Batch

FileId = Annotated[str, StringConstraints(min_length=1, max_length=64)]
MAX_FILES = 500
"""Of OpenAI."""


class Member(Wire):
    """A file with attributes and chunking of its own."""

    file_id: FileId
    attributes: Attributes | None = None
    chunking_strategy: Strategy | None = None


class CreateBatch(Wire):
    """`POST /v1/vector_stores/{id}/file_batches`: either `file_ids`, with attributes and chunking for all, or `files`, each with its own."""

    file_ids: Annotated[list[FileId], Field(min_length=1, max_length=MAX_FILES)] | None = None
    files: Annotated[list[Member], Field(min_length=1, max_length=MAX_FILES)] | None = None
    attributes: Attributes | None = None
    chunking_strategy: Strategy | None = None

    def members(self) -> list[Member]:
        """The files, each with what holds for it; BadRequest unless exactly one of the two forms is used."""
        if (self.file_ids is None) == (self.files is None):
            raise errors.BadRequest("Give either file_ids or files.", param="file_ids")
        if self.files is None:
            return [
                Member(file_id=one, attributes=self.attributes, chunking_strategy=self.chunking_strategy) for one in self.file_ids or ()
            ]
        if self.attributes is not None or self.chunking_strategy is not None:
            raise errors.BadRequest("With files, attributes and chunking_strategy belong to each file.", param="files")
        return self.files


def routes() -> APIRouter:
    """`/v1/vector_stores/{id}/file_batches`."""
    router = APIRouter(prefix="/v1/vector_stores/{store_id}/file_batches")

    @router.post("")
    def create(store_id: str, body: CreateBatch, tenant: TenantOf, parts: PartsOf) -> dict[str, Any]:
        members = body.members()
        stores.resolved(tenant, store_id)
        for member in members:
            files.get(tenant, member.file_id)  # one that is missing refuses the batch before anything is added
        for member in members:
            entries.add(tenant, store_id, member.file_id, member.attributes or {}, chunking(member.chunking_strategy, parts.settings))
        batch = batches.create(tenant, store_id, [member.file_id for member in members])
        parts.ingestion.wake(tenant)
        return _shape(batch)

    @router.get("/{batch_id}")
    def one(store_id: str, batch_id: str, tenant: TenantOf) -> dict[str, Any]:
        return _shape(batches.get(tenant, store_id, batch_id))

    @router.post("/{batch_id}/cancel")
    def cancel(store_id: str, batch_id: str, tenant: TenantOf) -> dict[str, Any]:
        return _shape(batches.cancel(tenant, store_id, batch_id))

    @router.get("/{batch_id}/files")
    def listed(
        store_id: str, batch_id: str, tenant: TenantOf, page: PageOf, status: Annotated[Status | None, Query(alias="filter")] = None
    ) -> dict[str, Any]:
        rows, more = batches.listed(tenant, store_id, batch_id, page, status)
        return list_body([shape(row) for row in rows], more)

    return router


def _shape(batch: Batch) -> dict[str, Any]:
    """OpenAI's file batch object."""
    return {
        "id": batch.id,
        "object": "vector_store.files_batch",
        "created_at": batch.created_at,
        "vector_store_id": batch.store_id,
        "status": batch.status,
        "file_counts": batch.counts | {"total": sum(batch.counts.values())},
    }
