"""How a route reads its body and how the OpenAPI document tells of it.

Bodies are validated from their bytes, once, and not through FastAPI's own parsing, which would decode JSON first and validate objects after.
"""

from typing import Any, TypeVar

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel, ValidationError
from slipway_shared import errors

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


def body_of(model: type[BaseModel], example: dict[str, Any] | None = None) -> dict[str, Any]:
    """The request body of a route that reads `model` by itself, for `openapi_extra`."""
    content: dict[str, Any] = {"schema": model.model_json_schema(ref_template="#/components/schemas/{model}")}
    if example is not None:
        content["example"] = example
    return {"requestBody": {"required": True, "content": {"application/json": content}}}


def described(model: type[BaseModel] | None = None, *, stream: bool = False) -> dict[int | str, dict[str, Any]]:
    """The answers of a route: `model`, perhaps as a stream too, and the error object for everything else."""
    good: dict[str, Any] = {"description": "the answer"}
    if model is not None:
        good["model"] = model
    if stream:
        good["content"] = {"text/event-stream": _STREAM}
    return {200: good, "4XX": _ERROR, "5XX": _ERROR}


def describe(app: FastAPI) -> None:
    """Makes `/openapi.json` true to what is served: bodies that routes read themselves, the key, and errors in OpenAI's shape."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(
                title=app.title, version=app.version, routes=app.routes, summary="OpenAI's API over small models of your own"
            )
            schemas = document.setdefault("components", {}).setdefault("schemas", {})
            for operations in document["paths"].values():
                for operation in operations.values():
                    _hoist(operation, schemas)
                    operation["responses"].pop("422", None)
            document["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
            document["security"] = [{"key": []}]
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _hoist(operation: dict[str, Any], schemas: dict[str, Any]) -> None:
    for media in operation.get("requestBody", {}).get("content", {}).values():
        schemas.update(media.get("schema", {}).pop("$defs", {}))
