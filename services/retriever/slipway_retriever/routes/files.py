"""OpenAI files: upload, list, read, delete. Handlers are plain functions, so that FastAPI runs them on threads: they write to disk."""

import re
from typing import Annotated, Any

from fastapi import APIRouter, File, Form, Query, UploadFile
from fastapi.responses import FileResponse
from slipway_shared import errors

from slipway_retriever.routes.parts import PageOf, PartsOf, TenantOf, list_body
from slipway_retriever.store import files
from slipway_retriever.store.files import StoredFile

_UNSAFE = re.compile(r"[\x00-\x1f\x7f\u202a-\u202e\u2066-\u2069]")
MAX_FILENAME = 255


def routes() -> APIRouter:
    """`/v1/files`."""
    router = APIRouter(prefix="/v1/files")

    @router.post("")
    def upload(
        tenant: TenantOf, parts: PartsOf, file: Annotated[UploadFile, File()], purpose: Annotated[files.Purpose, Form()] = "assistants"
    ) -> dict[str, Any]:
        limit = parts.settings.max_file_bytes
        size = file.size or 0
        if size > limit:
            raise errors.TooLarge(f"The file has {size} bytes; at most {limit} are accepted.", param="file")
        stored = files.add(tenant, clean_name(file.filename), purpose, size, file.file, max_files=parts.settings.max_files)
        return shape(stored)

    @router.get("")
    def listed(tenant: TenantOf, page: PageOf, purpose: Annotated[str | None, Query(max_length=32)] = None) -> dict[str, Any]:
        rows, more = files.listed(tenant, page, purpose)
        return list_body([shape(row) for row in rows], more)

    @router.get("/{file_id}")
    def one(tenant: TenantOf, file_id: str) -> dict[str, Any]:
        return shape(files.get(tenant, file_id))

    @router.get("/{file_id}/content")
    def content(tenant: TenantOf, file_id: str) -> FileResponse:
        found = files.get(tenant, file_id)
        # Never a type that a browser would run.
        return FileResponse(
            tenant.blob_path(found.id),
            media_type="application/octet-stream",
            filename=found.filename,
            headers={"x-content-type-options": "nosniff"},
        )

    @router.delete("/{file_id}")
    def delete(tenant: TenantOf, file_id: str) -> dict[str, Any]:
        files.delete(tenant, file_id)
        return {"id": file_id, "object": "file", "deleted": True}

    return router


def clean_name(given: str | None) -> str:
    """The last part of the name that a caller sent, without path, control characters or direction marks."""
    name = _UNSAFE.sub("", (given or "").replace("\\", "/").rsplit("/", 1)[-1]).strip()
    if name in ("", ".", ".."):
        raise errors.BadRequest("The upload has no file name.", param="file")
    if len(name) > MAX_FILENAME:
        raise errors.BadRequest(f"The file name is longer than {MAX_FILENAME} characters.", param="file")
    return name


def shape(file: StoredFile) -> dict[str, Any]:
    """OpenAI's file object."""
    return {
        "id": file.id,
        "object": "file",
        "bytes": file.bytes,
        "created_at": file.created_at,
        "expires_at": None,
        "filename": file.filename,
        "purpose": file.purpose,
        "status": "processed",
        "status_details": None,
    }
