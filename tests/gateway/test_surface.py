"""The OpenAPI document is true: it is whole, its references lead somewhere, and its examples are requests that are accepted."""

from typing import Any

import jsonschema
import pytest
from pydantic import BaseModel
from slipway_gateway.app import create_app
from slipway_gateway.examples import ANSWERED, ASKED
from slipway_gateway.responses.request import ResponsesRequest
from slipway_gateway.routes.batches import CreateBatch
from slipway_gateway.routes.completions import CompletionBody
from slipway_gateway.routes.parts import DetokenizeRequest, TokenizeRequest
from slipway_gateway.routes.retrieval_shapes import BODIES, QUERIES
from slipway_gateway.settings import GatewaySettings
from slipway_retriever.app import create_app as create_retriever
from slipway_retriever.routes import batches, entries, stores
from slipway_retriever.settings import RetrieverSettings
from slipway_shared.contracts import RerankRequest
from slipway_shared.dialect.chat import ChatRequest
from slipway_shared.dialect.embeddings import EmbeddingsRequest
from slipway_shared.dialect.moderations import ModerationRequest

TYPES: dict[str, type[BaseModel]] = {
    "post /v1/chat/completions": ChatRequest,
    "post /v1/completions": CompletionBody,
    "post /v1/responses": ResponsesRequest,
    "post /v1/embeddings": EmbeddingsRequest,
    "post /v1/rerank": RerankRequest,
    "post /v1/moderations": ModerationRequest,
    "post /v1/tokenize": TokenizeRequest,
    "post /v1/detokenize": DetokenizeRequest,
    "post /v1/batches": CreateBatch,
    "post /v1/vector_stores": stores.CreateStore,
    "post /v1/vector_stores/{store_id}": stores.ChangeStore,
    "post /v1/vector_stores/{store_id}/search": stores.SearchStore,
    "post /v1/vector_stores/{store_id}/files": entries.AddFile,
    "post /v1/vector_stores/{store_id}/files/{file_id}": entries.ChangeFile,
    "post /v1/vector_stores/{store_id}/file_batches": batches.CreateBatch,
}


@pytest.fixture(scope="module")
def document() -> Any:
    return create_app(GatewaySettings.model_validate({"redis_url": None})).openapi()


def references(value: Any) -> set[str]:
    if isinstance(value, dict):
        own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set[str]()
        return own.union(*(references(item) for item in value.values()))
    return set[str]().union(*(references(item) for item in value)) if isinstance(value, list) else set()


def test_every_reference_leads_somewhere_and_every_route_is_told_of(document: Any) -> None:
    schemas = document["components"]["schemas"]
    missing = {ref for ref in references(document) if ref.removeprefix("#/components/schemas/") not in schemas}
    assert missing == set()
    assert document["security"] == [{"key": []}]
    assert not any(path.startswith("/admin") for path in document["paths"])
    for name in (
        "chat/completions",
        "completions",
        "responses",
        "embeddings",
        "moderations",
        "rerank",
        "models",
        "files",
        "vector_stores",
        "batches",
    ):
        assert f"/v1/{name}" in document["paths"], name
    answers = [set(o["responses"]) for operations in document["paths"].values() for o in operations.values()]
    assert all({"200", "4XX", "5XX"} <= told and "422" not in told for told in answers)


def test_every_route_has_an_example_of_what_it_takes_and_gives(document: Any) -> None:
    shown: set[str] = set()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            name = f"{method} {path}" if path.startswith("/v1") else f"{method} /v1{path}"
            shown.add(name)
            body = operation.get("requestBody", {}).get("content", {})
            assert method != "post" or body or path.endswith("/cancel"), name
            assert "application/json" not in body or body["application/json"]["example"] == ASKED[name]
            answer = operation["responses"]["200"]["content"]
            assert "application/octet-stream" in answer or answer["application/json"]["example"] == ANSWERED[name], name
    assert set(ASKED) | set(ANSWERED) <= shown


@pytest.mark.parametrize("name", sorted(TYPES))
def test_an_example_is_accepted_by_the_type_that_reads_it_and_by_the_schema_that_is_shown(name: str, document: Any) -> None:
    TYPES[name].model_validate(ASKED[name])
    method, path = name.split()
    schema = document["paths"][path][method]["requestBody"]["content"]["application/json"]["schema"]
    jsonschema.validate(ASKED[name], {**schema, "components": document["components"]})
    assert set(TYPES) == set(ASKED)


def test_the_retrievers_bodies_are_told_as_the_retriever_reads_them() -> None:
    models = {name: TYPES[f"post {name.split()[1]}"] for name in BODIES}
    for name, model in models.items():
        told = BODIES[name]
        properties: dict[str, Any] = {}
        for variant in told.get("anyOf", [told]):
            properties |= variant["properties"]
        own = model.model_json_schema()
        assert set(properties) == set(own["properties"]), name
        if "anyOf" not in told:
            assert set(told["required"]) == set(own.get("required", ())), name


def test_the_retrievers_query_parameters_are_told_as_the_retriever_reads_them(tmp_path: Any) -> None:
    own = create_retriever(RetrieverSettings(data_dir=tmp_path, embedder="hash")).openapi()["paths"]
    for name, queries in QUERIES.items():
        method, path = name.split()
        read = {one["name"] for one in own[path][method.lower()].get("parameters", ()) if one["in"] == "query"}
        assert {query for query, _ in queries} == read, name
    every = {
        f"{m.upper()} {p}"
        for p, operations in own.items()
        for m, o in operations.items()
        if any(x["in"] == "query" for x in o.get("parameters", ()))
    }
    assert {name for name in every if name.split()[1].startswith(("/v1/files", "/v1/vector_stores"))} == set(QUERIES)
