"""Files and vector stores: the retriever speaks OpenAI's shapes on the same paths, so these requests are relayed as they are.

Uploads stream through; nothing here holds a file. It refuses to know what a file is.
"""

from collections.abc import AsyncGenerator
from typing import Annotated

from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from slipway_shared import errors
from slipway_shared.context import RequestContext
from starlette.requests import ClientDisconnect

from slipway_gateway.answer import WireError
from slipway_gateway.routes.retrieval_shapes import told
from slipway_gateway.streaming import Gone
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
    call = retriever.open(request.method, path, _upload(request) if request.method == "POST" else None, context, headers=sent)
    answer = await call.__aenter__()
    passed = {name: value for name in _PASSED_OUT if (value := answer.headers.get(name))}
    if (answer.content_length or _LARGE) < _LARGE:
        try:
            body = await retriever.read(answer)
        finally:
            await call.__aexit__(None, None, None)
        return Response(body, status_code=answer.status, headers=passed)

    async def chunks() -> AsyncGenerator[bytes]:
        try:
            while chunk := await answer.some():
                yield chunk
        except WireError as error:
            raise retriever.failure(error) from error
        finally:
            await call.__aexit__(None, None, None)

    return StreamingResponse(chunks(), status_code=answer.status, headers=passed)


async def _upload(request: Request) -> AsyncGenerator[bytes]:
    """The request's body as it comes; raises Gone."""
    try:
        async for chunk in request.stream():
            yield chunk
    except ClientDisconnect:
        raise Gone from None
