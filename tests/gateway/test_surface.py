"""The OpenAPI document is true: it is whole, its references lead somewhere, and its examples are requests that are accepted."""

from typing import Any

from slipway_gateway.app import create_app
from slipway_gateway.settings import GatewaySettings
from slipway_shared.dialect.chat import ChatRequest


def references(value: Any) -> set[str]:
    if isinstance(value, dict):
        own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set[str]()
        return own.union(*(references(item) for item in value.values()))
    return set[str]().union(*(references(item) for item in value)) if isinstance(value, list) else set()


def test_every_reference_leads_somewhere_and_every_example_is_valid() -> None:
    document: Any = create_app(GatewaySettings.model_validate({"redis_url": None})).openapi()
    schemas = document["components"]["schemas"]
    missing = {ref for ref in references(document) if ref.removeprefix("#/components/schemas/") not in schemas}
    assert missing == set()
    assert document["security"] == [{"key": []}]
    assert not any(path.startswith("/admin") for path in document["paths"])
    for name in ("chat/completions", "completions", "responses", "embeddings", "moderations", "rerank", "models", "files", "vector_stores"):
        assert f"/v1/{name}" in document["paths"], name
    example = document["paths"]["/v1/chat/completions"]["post"]["requestBody"]["content"]["application/json"]["example"]
    ChatRequest.model_validate(example)
    answers = [set(o["responses"]) for operations in document["paths"].values() for o in operations.values()]
    assert all({"200", "4XX", "5XX"} <= told and "422" not in told for told in answers)
