"""How a route reads its body and how the OpenAPI document tells of it.

Bodies are validated from their bytes, once, and not through FastAPI's own parsing, which would decode JSON first and validate objects after.
"""

from typing import Any, TypeVar

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel, ValidationError
from slipway_shared import errors
from slipway_shared.service import flat

from slipway_gateway.examples import ANSWERED, ASKED

ModelT = TypeVar("ModelT", bound=BaseModel)

_ERROR = {
    "description": "OpenAI's error object",
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["error"],
                "properties": {
                    "error": {
                        "type": "object",
                        "required": ["message", "type", "param", "code"],
                        "properties": {
                            "message": {"type": "string"},
                            "type": {"type": "string"},
                            "param": {"type": ["string", "null"]},
                            "code": {"type": ["string", "null"]},
                        },
                    }
                },
            }
        }
    },
}
_STREAM = {"schema": {"type": "string", "description": "server-sent events, closed by `data: [DONE]`"}}


def parse(model: type[ModelT], body: bytes) -> ModelT:
    """`body` as `model`; raises BadRequest that names the first wrong field."""
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise errors.from_validation([dict(e) for e in error.errors(include_url=False, include_input=False)]) from None


_TAKES = "x-slipway-takes"


def takes(model: type[BaseModel]) -> dict[str, Any]:
    """The request body of a route that reads `model` by itself, for `openapi_extra`. Its schema is made when somebody asks for the document: a third of the
    gateway's start went into schemas."""
    return {_TAKES: model}


def _body_of(model: type[BaseModel]) -> dict[str, Any]:
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def described(model: type[BaseModel] | None = None, *, stream: bool = False) -> dict[int | str, dict[str, Any]]:
    """The answers of a route: `model`, perhaps as a stream too, and the error object for everything else."""
    good: dict[str, Any] = {"description": "the answer"}
    if model is not None:
        good["model"] = model
    if stream:
        good["content"] = {"text/event-stream": _STREAM}
    return {200: good, "4XX": _ERROR, "5XX": _ERROR}


FILE: dict[int | str, dict[str, Any]] = {
    **{status: entry for status, entry in described().items() if status != 200},
    200: {"description": "the file", "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}},
    206: {"description": "the range of it that was asked for"},
}
"""The answers of a route that sends a file."""


def describe(app: FastAPI) -> None:
    """Makes `/openapi.json` true to what is served: bodies that routes read themselves, the key, and errors in OpenAI's shape."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            for route in flat(app.routes):
                extra: dict[str, Any] = getattr(route, "openapi_extra", None) or {}
                if _TAKES in extra:
                    extra.update(_body_of(extra.pop(_TAKES)))
            document = get_openapi(
                title=app.title, version=app.version, routes=app.routes, summary="OpenAI's API over small models of your own"
            )
            schemas = document.setdefault("components", {}).setdefault("schemas", {})
            for path, operations in document["paths"].items():
                for method, operation in operations.items():
                    _hoist(operation, schemas)
                    operation["responses"].pop("422", None)
                    _illustrate(operation, f"{method} /v1/{path.removeprefix('/').removeprefix('v1/')}")
            document["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
            document["security"] = [{"key": []}]
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _illustrate(operation: dict[str, Any], name: str) -> None:
    """Puts the route's examples into its JSON bodies."""
    for where, examples in ((operation.get("requestBody"), ASKED), (operation["responses"]["200"], ANSWERED)):
        content: dict[str, Any] = (where or {}).get("content", {})
        if name in examples and "application/json" in content:
            content["application/json"].setdefault("example", examples[name])


def _hoist(operation: dict[str, Any], schemas: dict[str, Any]) -> None:
    for media in operation.get("requestBody", {}).get("content", {}).values():
        schemas.update(media.get("schema", {}).pop("$defs", {}))
