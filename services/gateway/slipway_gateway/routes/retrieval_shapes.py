"""What the OpenAPI document says of the routes that the retriever answers: bodies and query parameters, in JSON Schema.

The retriever validates; a test holds these shapes to its own. It refuses to validate anything.
"""

from typing import Any

Shape = dict[str, Any]

_ID: Shape = {"type": "string", "minLength": 1, "maxLength": 64}
_METADATA: Shape = {
    "type": ["object", "null"],
    "maxProperties": 16,
    "propertyNames": {"minLength": 1, "maxLength": 64},
    "additionalProperties": {"type": "string", "maxLength": 512},
}
_ATTRIBUTES: Shape = {
    "type": ["object", "null"],
    "maxProperties": 16,
    "propertyNames": {"minLength": 1, "maxLength": 64},
    "additionalProperties": {"anyOf": [{"type": "string", "maxLength": 512}, {"type": "boolean"}, {"type": "number"}]},
}
_CHUNKING: Shape = {
    "description": "`auto`, or sizes in estimated tokens; an overlap is at most half a passage",
    "anyOf": [
        {"type": "object", "required": ["type"], "additionalProperties": False, "properties": {"type": {"const": "auto"}}},
        {
            "type": "object", "required": ["type", "static"], "additionalProperties": False,
            "properties": {
                "type": {"const": "static"},
                "static": {
                    "type": "object", "required": ["max_chunk_size_tokens", "chunk_overlap_tokens"], "additionalProperties": False,
                    "properties": {
                        "max_chunk_size_tokens": {"type": "integer", "minimum": 32, "maximum": 4096},
                        "chunk_overlap_tokens": {"type": "integer", "minimum": 0, "maximum": 2048},
                    },
                },
            },
        },
        {"type": "null"},
    ],
}  # fmt: skip
_NOTHING: Shape = {"type": "null"}


def _object(required: tuple[str, ...] = (), **properties: Shape) -> Shape:
    return {"type": "object", "required": list(required), "additionalProperties": False, "properties": properties}


_MEMBER = _object(("file_id",), file_id=_ID, attributes=_ATTRIBUTES, chunking_strategy=_CHUNKING)
_MANY: Shape = {"type": "array", "minItems": 1, "maxItems": 500}
_NAME: Shape = {"type": ["string", "null"], "maxLength": 256}

BODIES: dict[str, Shape] = {
    "POST /v1/vector_stores": _object(
        name=_NAME, description={"type": ["string", "null"], "maxLength": 1024}, file_ids={"type": ["array", "null"], "maxItems": 500, "items": _ID},
        metadata=_METADATA, chunking_strategy=_CHUNKING, expires_after=_NOTHING,
    ),
    "POST /v1/vector_stores/{store_id}": _object(name=_NAME, metadata=_METADATA, expires_after=_NOTHING),
    "POST /v1/vector_stores/{store_id}/search": _object(
        ("query",),
        query={"anyOf": [
            {"type": "string", "minLength": 1, "maxLength": 16384},
            {"type": "array", "minItems": 1, "maxItems": 8, "items": {"type": "string", "minLength": 1, "maxLength": 16384}},
        ]},
        max_num_results={"type": "integer", "minimum": 1, "maximum": 50, "default": 10},
        filters={"type": ["object", "null"], "description": "OpenAI's comparison and compound filters on attributes"},
        ranking_options=_object(ranker={"enum": ["auto", "none", "default-2024-11-15"]}, score_threshold={"type": "number", "minimum": 0, "maximum": 1}),
        rewrite_query={"const": False},
        diversity={"type": ["number", "null"], "minimum": 0, "maximum": 1, "description": "our addition: how much passages unlike those above them are preferred"},
        mode={"enum": ["hybrid", "dense", "bm25"], "description": "our addition"},
    ),
    "POST /v1/vector_stores/{store_id}/files": _MEMBER,
    "POST /v1/vector_stores/{store_id}/files/{file_id}": _object(("attributes",), attributes=_ATTRIBUTES),
    "POST /v1/vector_stores/{store_id}/file_batches": {
        "description": "either file_ids, with attributes and chunking for all, or files, each with its own",
        "anyOf": [
            _object(("file_ids",), file_ids={**_MANY, "items": _ID}, attributes=_ATTRIBUTES, chunking_strategy=_CHUNKING),
            _object(("files",), files={**_MANY, "items": _MEMBER}),
        ],
    },
}  # fmt: skip

UPLOAD: Shape = _object(
    ("file",),
    file={"type": "string", "format": "binary", "description": "the file itself, with its name"},
    purpose={"enum": ["assistants", "user_data", "batch", "batch_output", "fine-tune", "vision", "evals"], "default": "assistants"},
)

_PAGE: tuple[tuple[str, Shape], ...] = (
    ("limit", {"type": "integer", "minimum": 1, "maximum": 100, "default": 20}),
    ("order", {"enum": ["asc", "desc"], "default": "desc"}),
    ("after", {"type": "string", "maxLength": 64}),
    ("before", {"type": "string", "maxLength": 64}),
)
_STATUS: tuple[tuple[str, Shape], ...] = (("filter", {"enum": ["in_progress", "completed", "failed", "cancelled"]}),)
QUERIES: dict[str, tuple[tuple[str, Shape], ...]] = {
    "GET /v1/files": (*_PAGE, ("purpose", {"type": "string", "maxLength": 32})),
    "GET /v1/vector_stores": _PAGE,
    "GET /v1/vector_stores/{store_id}/files": (*_PAGE, *_STATUS),
    "GET /v1/vector_stores/{store_id}/file_batches/{batch_id}/files": (*_PAGE, *_STATUS),
}


def told(method: str, path: str) -> dict[str, Any]:
    """What the document says of a route, for `openapi_extra`."""
    name = f"{method} {path}"
    out: dict[str, Any] = {}
    if name == "POST /v1/files":
        out["requestBody"] = {"required": True, "content": {"multipart/form-data": {"schema": UPLOAD}}}
    elif name in BODIES:
        out["requestBody"] = {"required": True, "content": {"application/json": {"schema": BODIES[name]}}}
    if name in QUERIES:
        out["parameters"] = [{"name": query, "in": "query", "required": False, "schema": schema} for query, schema in QUERIES[name]]
    return out
