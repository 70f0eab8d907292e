"""`/v1/batches`: create, list, read, cancel. It refuses to know how a batch is run: it keeps the record and wakes the runner."""

import time
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import Field, StringConstraints
from slipway_shared import errors
from slipway_shared.context import RequestContext
from slipway_shared.dialect.chat import Wire

from slipway_gateway.batches.files import BatchFiles
from slipway_gateway.batches.record import WINDOW_SECONDS, Batch, new_id
from slipway_gateway.batches.runner import Runner
from slipway_gateway.batches.store import BatchStore
from slipway_gateway.keys import Key
from slipway_gateway.routes.retrieval import FILE_ID
from slipway_gateway.surface import described, parse, takes

BatchId = Annotated[str, Path(pattern=r"^batch_[0-9a-f]{32}$")]
_ENDED = "A batch that is over cannot be cancelled."


class CreateBatch(Wire):
    """`POST /v1/batches`: a file of requests for one endpoint, to be run within a day."""

    input_file_id: Annotated[str, Field(pattern=FILE_ID)]
    endpoint: Literal["/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses"]
    completion_window: Literal["24h"]
    metadata: (
        Annotated[
            dict[Annotated[str, StringConstraints(min_length=1, max_length=64)], Annotated[str, StringConstraints(max_length=512)]],
            Field(max_length=16),
        ]
        | None
    ) = None


def batch_routes(store: BatchStore, files: BatchFiles, runner: Runner) -> APIRouter:
    """The routes on `store`."""
    router = APIRouter(tags=["batches"])
    one = "/v1/batches/{batch_id}"

    @router.post("/v1/batches", openapi_extra=takes(CreateBatch), responses=described())
    async def create(request: Request) -> Response:
        """Run the requests of an uploaded file while nobody waits."""
        asked = parse(CreateBatch, await request.body())
        key: Key = request.scope["state"]["key"]
        key.check_route(asked.endpoint)
        context = _context(request)
        await files.check(asked.input_file_id, context)
        now = int(time.time())
        batch = Batch(
            id=new_id(),
            tenant=context.tenant,
            key=key.digest,
            endpoint=asked.endpoint,
            input_file_id=asked.input_file_id,
            metadata=asked.metadata,
            created_at=now,
            expires_at=now + WINDOW_SECONDS,
        )
        await store.add(batch)
        runner.wake(batch)
        return _shown(batch.shape())

    @router.get("/v1/batches", responses=described())
    async def listed(
        request: Request, after: Annotated[str | None, Query(max_length=64)] = None, limit: Annotated[int, Query(ge=1, le=100)] = 20
    ) -> Response:
        """The tenant's batches, newest first."""
        found = await store.listed(_context(request).tenant, after, limit + 1)
        page = [batch.shape() for batch in found[:limit]]
        first, last = (page[0]["id"], page[-1]["id"]) if page else (None, None)
        return _shown({"object": "list", "data": page, "first_id": first, "last_id": last, "has_more": len(found) > limit})

    @router.get(one, responses=described())
    async def get(batch_id: BatchId, request: Request) -> Response:
        """A batch, and how far it is."""
        return _shown(_found(await store.get(_context(request).tenant, batch_id)).shape())

    @router.post(f"{one}/cancel", responses=described())
    async def cancel(batch_id: BatchId, request: Request) -> Response:
        """Stop a batch. What was answered before is kept."""
        tenant = _context(request).tenant
        if _found(await store.get(tenant, batch_id)).over:
            raise errors.Conflict(_ENDED, param="batch_id", code="batch_over")
        batch = _found(await store.cancel(tenant, batch_id, int(time.time())))
        if batch.over:
            raise errors.Conflict(_ENDED, param="batch_id", code="batch_over")
        runner.wake(batch)
        return _shown(batch.shape())

    return router


def _found(batch: Batch | None) -> Batch:
    if batch is None:
        raise errors.NotFound("There is no such batch.", param="batch_id", code="batch_not_found")
    return batch


def _context(request: Request) -> RequestContext:
    return request.scope["state"]["context"]


def _shown(document: dict[str, Any]) -> Response:
    return Response(orjson.dumps(document), media_type="application/json")
