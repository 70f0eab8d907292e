"""`GET /v1/models/{id}/builds` and `.../builds/{flavor}/content`: which flavor fits a device, and its files with ranges and digests.

It refuses to decide what fits.
"""

import base64
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import FileResponse
from slipway_shared import errors

from slipway_gateway.builds import ARCHES, Builds, Device, arch_of, sniff
from slipway_gateway.keys import Key
from slipway_gateway.surface import FILE, described

HINTS = "Sec-CH-UA-Arch, Sec-CH-UA-Mobile, Sec-CH-Device-Memory, Device-Memory"


def build_routes(builds: Builds) -> APIRouter:
    """The build routes over `builds`."""
    router = APIRouter(tags=["models"])

    @router.get("/v1/models/{model}/builds", responses=described())
    async def fitting(
        model: str,
        request: Request,
        response: Response,
        arch: Annotated[
            str | None,
            Query(max_length=16, description="else from the client hints or the User-Agent", json_schema_extra={"enum": [*ARCHES, None]}),
        ] = None,
        ram_mb: Annotated[int | None, Query(ge=1, le=1 << 26, description="memory that the model may use")] = None,
        gpu: Annotated[bool | None, Query(description="whether there is one that the model may use")] = None,
    ) -> dict[str, Any]:
        """The builds of a model for a device: `best` is the id of the one to take, `data` has all of them, each with why it does not fit."""
        _key(request).check_model(model)
        told = sniff(request.headers)
        mobile = told.mobile if arch is None else False
        device = Device(arch_of(arch) if arch else told.arch, ram_mb if ram_mb is not None else told.ram_mb, gpu, mobile)
        found = await builds.of(model, device)
        response.headers["accept-ch"] = HINTS
        response.headers["vary"] = HINTS + ", User-Agent"
        best = found[0] if found[0].fits else None
        return {
            "object": "list", "data": [build.model_dump(mode="json") for build in found], "best": best.id if best else None,
            "device": {"arch": device.arch, "ram_mb": device.ram_mb, "gpu": device.gpu, "mobile": device.mobile},
        }  # fmt: skip

    @router.head("/v1/models/{model}/builds/{flavor}/content", include_in_schema=False)
    @router.get("/v1/models/{model}/builds/{flavor}/content", responses=FILE, response_class=FileResponse)
    async def content(model: str, flavor: str, request: Request, file: Annotated[str | None, Query(max_length=255)] = None) -> Response:
        """A file of a build as it lies in the release: `Range` and `If-Range` work, the ETag is its SHA-256."""
        _key(request).check_model(model)
        path, row = await builds.file(model, flavor, file)
        digest = base64.b64encode(bytes.fromhex(row.sha256)).decode()
        headers = {
            "etag": f'"sha256-{row.sha256}"', "repr-digest": f"sha-256=:{digest}:", "cache-control": "private, max-age=31536000, immutable",
        }  # fmt: skip
        return FileResponse(path, media_type="application/octet-stream", filename=path.name, headers=headers)

    return router


def _key(request: Request) -> Key:
    key = request.scope["state"]["key"]
    if not isinstance(key, Key):
        raise errors.Unauthorized("No API key was given.")
    return key
