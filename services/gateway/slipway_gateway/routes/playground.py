"""The playground and the API's documentation: static files, read once, under a strict content policy. They need no key; what they call does."""

from importlib.resources import files

from fastapi import APIRouter, Response

HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}


def playground_routes() -> APIRouter:
    """`/`, `/docs`, their scripts and their style."""
    router = APIRouter(include_in_schema=False)
    folder = files("slipway_gateway") / "playground"
    for path, name, kind in (
        ("/", "index.html", "text/html; charset=utf-8"),
        ("/playground/app.js", "app.js", "text/javascript; charset=utf-8"),
        ("/playground/style.css", "style.css", "text/css; charset=utf-8"),
        ("/docs", "docs.html", "text/html; charset=utf-8"),
        ("/playground/docs.js", "docs.js", "text/javascript; charset=utf-8"),
    ):
        _serve(router, path, (folder / name).read_bytes(), kind)
    return router


def _serve(router: APIRouter, path: str, content: bytes, kind: str) -> None:
    async def static() -> Response:
        return Response(content, media_type=kind, headers=HEADERS)

    router.add_api_route(path, static, methods=["GET"], name=f"playground {path}")
