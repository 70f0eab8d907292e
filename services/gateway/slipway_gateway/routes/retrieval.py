"""Files and vector stores: the retriever speaks OpenAI's shapes on the same paths, so these requests are relayed as they are.

Uploads stream through; nothing here holds a file. It refuses to know what a file is.
"""

from collections.abc import AsyncGenerator
from typing import Annotated

import aiohttp
from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from slipway_shared import errors
from slipway_shared.context import RequestContext

from slipway_gateway.routes.retrieval_shapes import told
from slipway_gateway.surface import FILE, described
from slipway_gateway.upstream import Upstream

FILE_ID = r"^[A-Za-z0-9_-][A-Za-z0-9_.-]{0,127}$"
"""No dot in front: `.` and `..` are steps of a path, and an id becomes a part of one."""
Id = Annotated[str, Path(pattern=FILE_ID)]
_PASSED_IN = ("content-type", "content-length", "range")
_PASSED_OUT = ("content-type", "content-disposition", "content-length", "content-range", "accept-ranges", "etag")
_LARGE = 1 << 20


def retrieval_routes(retriever: Upstream | None) -> APIRouter:
    """Every route that the retriever answers."""
    router = APIRouter(tags=["retrieval"])

    async def relay(request: Request, file_id: str = "", store_id: str = "", batch_id: str = "") -> Response:
        return await _relay(_present(retriever), request)

    async def file(file_id: Id, request: Request) -> Response:
        return await relay(request)

    async def store(store_id: Id, request: Request) -> Response:
        return await relay(request)

    async def store_file(store_id: Id, file_id: Id, request: Request) -> Response:
        return await relay(request)

    async def store_batch(store_id: Id, batch_id: Id, request: Request) -> Response:
        return await relay(request)

    async def plain(request: Request) -> Response:
        return await relay(request)

    one = "/v1/vector_stores/{store_id}"
    for path, methods, endpoint in (
        ("/v1/files", ("GET", "POST"), plain),
        ("/v1/files/{file_id}", ("GET", "DELETE"), file),
        ("/v1/files/{file_id}/content", ("GET",), file),
        ("/v1/vector_stores", ("GET", "POST"), plain),
        (one, ("GET", "POST", "DELETE"), store),
        (f"{one}/search", ("POST",), store),
        (f"{one}/files", ("GET", "POST"), store),
        (f"{one}/files/{{file_id}}", ("GET", "POST", "DELETE"), store_file),
        (f"{one}/files/{{file_id}}/content", ("GET",), store_file),
        (f"{one}/file_batches", ("POST",), store),
        (f"{one}/file_batches/{{batch_id}}", ("GET",), store_batch),
        (f"{one}/file_batches/{{batch_id}}/cancel", ("POST",), store_batch),
        (f"{one}/file_batches/{{batch_id}}/files", ("GET",), store_batch),
    ):
        for method in methods:
            name = f"{method.lower()} {path.removeprefix('/v1/')}"
            answers = FILE if path == "/v1/files/{file_id}/content" else described()
            kind = Response if answers is FILE else JSONResponse
            router.add_api_route(
                path, endpoint, methods=[method], responses=answers, response_class=kind, openapi_extra=told(method, path), name=name
            )

    return router


def _present(retriever: Upstream | None) -> Upstream:
    if retriever is None:
        raise errors.Overloaded("This installation has no retriever.", code="retriever_unavailable")
    return retriever


async def _relay(retriever: Upstream, request: Request) -> Response:
    context: RequestContext = request.scope["state"]["context"]
    path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    sent = {name: value for name in _PASSED_IN if (value := request.headers.get(name))}
    upload = _Upload(request) if request.method == "POST" else None
    call = retriever.open(request.method, path, upload.chunks() if upload else None, context, headers=sent)
    try:
        response = await call.__aenter__()
    except errors.UpstreamFailed:
        if upload is not None and upload.error is not None:
            raise upload.error from None
        raise
    passed = {name: value for name in _PASSED_OUT if (value := response.headers.get(name))}
    if (response.content_length or _LARGE) < _LARGE:
        try:
            body = await retriever.read(response)
        finally:
            await call.__aexit__(None, None, None)
        return Response(body, status_code=response.status, headers=passed)

    async def chunks() -> AsyncGenerator[bytes]:
        try:
            async for chunk in response.content.iter_any():
                yield chunk
        except aiohttp.ClientError as error:
            raise retriever.failure(error) from error
        finally:
            await call.__aexit__(None, None, None)

    return StreamingResponse(chunks(), status_code=response.status, headers=passed)


class _Upload:
    """The request's body as it comes. Keeps the error that ended it (too large), which the client library would hide."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self.error: errors.SlipwayError | None = None

    async def chunks(self) -> AsyncGenerator[bytes]:
        try:
            async for chunk in self._request.stream():
                if chunk:
                    yield chunk
        except errors.SlipwayError as error:
            self.error = error
            raise
