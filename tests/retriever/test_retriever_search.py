"""Search over the real service: what is ingested is found, in every mode, by its own tenant alone, and not after it is deleted."""

from typing import Any

import pytest

RIVERS = b"# Rivers\n\nThe Elbe rises in Bohemia and ends near Cuxhaven.\n\n## Bridges\n\nThe Blue Wonder of Dresden was opened in 1893.\n"
COINS = b"# Coins\n\nA thaler was a large silver coin.\n\nThe guilder was made of gold first."


@pytest.mark.parametrize("mode", ["hybrid", "dense", "bm25"])
def test_a_passage_is_found_with_its_heading_and_place(retriever: Any, mode: str) -> None:
    entry = retriever.ingest("rivers.md", RIVERS)
    retriever.ingest("coins.md", COINS)
    assert entry["status"] == "completed"
    best = retriever.search("When was the Blue Wonder of Dresden opened?", mode=mode, top_k=3)[0]
    assert best["text"] == "The Blue Wonder of Dresden was opened in 1893."
    assert best["title"] == "Rivers > Bridges"
    assert (best["filename"], best["file_id"], best["vector_store_id"]) == ("rivers.md", entry["id"], "vs_default")
    text = retriever.client.get(f"/v1/vector_stores/vs_default/files/{entry['id']}/content").json()["data"][0]["text"]
    assert text[best["start"] : best["end"]] == best["text"]
    assert 0 < best["score"] <= 1


def test_scores_fall_and_stay_between_0_and_1(retriever: Any) -> None:
    for i in range(12):
        retriever.ingest(f"{i}.txt", f"river number {i} crosses {'the plain ' * i}".encode())
    for mode in ("hybrid", "dense", "bm25"):
        scores = [passage["score"] for passage in retriever.search("which river crosses the plain", mode=mode, top_k=12)]
        assert scores == sorted(scores, reverse=True)
        assert all(0 <= score <= 1 for score in scores)


def test_an_empty_store_finds_nothing(retriever: Any) -> None:
    assert retriever.search("anything at all") == []


def test_a_word_that_only_bm25_knows_is_found_by_hybrid(retriever: Any) -> None:
    retriever.ingest("codes.txt", b"Error code ZX-4711 means that the pump is dry.")
    retriever.ingest("noise.txt", b"Pumps need water. A dry pump fails soon, and its error is costly.")
    assert retriever.search("ZX-4711", mode="hybrid", top_k=1)[0]["text"].startswith("Error code ZX-4711")


def test_a_tenant_sees_neither_files_nor_stores_nor_passages_of_another(retriever: Any) -> None:
    red, blue = retriever, retriever.tenant("blue")
    entry = red.ingest("secret.txt", b"The red vault opens with sesame.")
    store = red.client.post("/v1/vector_stores", json={"name": "own"}).json()["id"]
    assert red.search("vault sesame")[0]["text"] == "The red vault opens with sesame."
    assert blue.search("vault sesame") == []
    for path in (f"/v1/files/{entry['id']}", f"/v1/files/{entry['id']}/content", f"/v1/vector_stores/{store}"):
        assert blue.client.get(path).status_code == 404
    assert blue.client.delete(f"/v1/files/{entry['id']}").status_code == 404
    assert blue.client.post("/v1/vector_stores/vs_default/files", json={"file_id": entry["id"]}).status_code == 404
    assert blue.client.post("/v1/search", json={"query": "vault", "vector_store_ids": [store]}).status_code == 404
    assert [row["id"] for row in blue.client.get("/v1/files").json()["data"]] == []
    assert red.client.get(f"/v1/files/{entry['id']}/content").content == b"The red vault opens with sesame."


def test_several_stores_are_searched_together(retriever: Any) -> None:
    stores = [retriever.client.post("/v1/vector_stores", json={"name": name}).json()["id"] for name in ("a", "b")]
    retriever.ingest("rivers.md", RIVERS, stores[0])
    retriever.ingest("coins.md", COINS, stores[1])
    found = retriever.search("silver coin thaler", vector_store_ids=stores, top_k=5)
    assert found[0]["vector_store_id"] == stores[1]
    assert {passage["vector_store_id"] for passage in found} == set(stores)
    assert retriever.search("silver coin thaler") == []


def test_attribute_filters_hold(retriever: Any) -> None:
    retriever.ingest("a.txt", b"The reactor report of spring.", attributes={"year": 2024, "kind": "report"})
    retriever.ingest("b.txt", b"The reactor memo of spring.", attributes={"year": 2025, "kind": "memo"})
    retriever.ingest("c.txt", b"The reactor report of autumn.", attributes={"year": 2026, "kind": "report"})
    condition = {
        "type": "and",
        "filters": [{"type": "eq", "key": "kind", "value": "report"}, {"type": "gte", "key": "year", "value": 2025}],
    }
    for mode in ("hybrid", "dense", "bm25"):
        assert [p["filename"] for p in retriever.search("reactor", filters=condition, mode=mode)] == ["c.txt"]


def test_changed_attributes_are_filtered_by_at_once(retriever: Any) -> None:
    entry = retriever.ingest("a.txt", b"The reactor report.", attributes={"state": "draft"})
    final = {"type": "eq", "key": "state", "value": "final"}
    assert retriever.search("reactor", filters=final) == []
    changed = retriever.client.post(f"/v1/vector_stores/vs_default/files/{entry['id']}", json={"attributes": {"state": "final"}})
    assert changed.json()["attributes"] == {"state": "final"}
    assert len(retriever.search("reactor", filters=final)) == 1


def test_near_duplicates_are_folded(retriever: Any) -> None:
    text = "The lighthouse of Westerhever stands on a mound in front of the dike and was first lit in the year 1908 by its keeper " * 2
    for i in range(4):
        retriever.ingest(f"copy{i}.txt", f"{text} and so it is told.".encode())
    retriever.ingest("other.txt", b"A lighthouse keeper lights the lamp.")
    names = [passage["filename"] for passage in retriever.search("lighthouse keeper", top_k=5)]
    assert len([name for name in names if name.startswith("copy")]) == 1
    assert "other.txt" in names


def test_a_search_in_openai_shape(retriever: Any) -> None:
    retriever.ingest("rivers.md", RIVERS)
    body = {"query": "Blue Wonder Dresden opened", "max_num_results": 1}
    page = retriever.client.post("/v1/vector_stores/vs_default/search", json=body).json()
    assert page["object"] == "vector_store.search_results.page"
    assert page["data"][0]["content"] == [{"type": "text", "text": "The Blue Wonder of Dresden was opened in 1893."}]
    strict = {**body, "ranking_options": {"score_threshold": 1.0}, "query": "unrelated zebra"}
    assert retriever.client.post("/v1/vector_stores/vs_default/search", json=strict).json()["data"] == []


@pytest.mark.parametrize(
    "body",
    [
        {"query": ""},
        {"query": "x", "top_k": 0},
        {"query": "x", "top_k": 1_000_000},
        {"query": "x", "mode": "magic"},
        {"query": "x", "surprise": 1},
        {"query": "x", "vector_store_ids": []},
        {"query": "x" * 20000},
        {"query": "x", "filters": {"type": "eq", "key": "a", "value": {"deep": 1}}},
        {"query": "x", "filters": {"type": "and", "filters": []}},
        {"query": "x", "filters": {"type": "eq", "key": "a' OR 1=1 --"}},
    ],
)
def test_bad_searches_are_refused_and_the_service_lives(retriever: Any, body: dict[str, Any]) -> None:
    answer = retriever.client.post("/v1/search", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert retriever.client.get("/readyz").status_code == 200


def test_filters_of_any_depth_are_refused_not_followed(retriever: Any) -> None:
    condition: dict[str, Any] = {"type": "eq", "key": "a", "value": 1}
    for _ in range(9):
        condition = {"type": "and", "filters": [condition]}
    assert retriever.client.post("/v1/search", json={"query": "x", "filters": condition}).status_code == 400
    depth = 100_000
    bomb = b'{"query":"x","filters":' + b'{"type":"and","filters":[' * depth + b"]}" * depth + b"}"
    answer = retriever.client.post("/v1/search", content=bomb, headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert "error" in answer.json()
