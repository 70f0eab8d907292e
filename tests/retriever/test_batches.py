"""File batches on the real service: the two forms of the call, following, cancelling, and calls that make no sense."""

import io
import time
from pathlib import Path
from typing import Any

import pytest
from slipway_retriever.store import batches, entries, files
from slipway_retriever.store.entries import Chunking
from slipway_retriever.store.tenant import Tenant

BATCHES = "/v1/vector_stores/vs_default/file_batches"


def uploaded(retriever: Any, count: int) -> list[str]:
    return [retriever.upload(f"note-{i}.md", f"# Note {i}\n\nThe heron{i}x stands in the reed.".encode())["id"] for i in range(count)]


def settled(retriever: Any, batch: str) -> dict[str, Any]:
    until = time.monotonic() + 60
    while (found := retriever.client.get(f"{BATCHES}/{batch}").json())["status"] == "in_progress":
        assert time.monotonic() < until, found
        time.sleep(0.02)
    return found


def test_a_batch_is_followed_until_it_is_searchable(retriever: Any) -> None:
    ids = uploaded(retriever, 3)
    made = retriever.client.post(BATCHES, json={"file_ids": ids, "attributes": {"kind": "note"}}).json()
    assert made["object"] == "vector_store.files_batch"
    assert made["id"].startswith("vsfb_")
    done = settled(retriever, made["id"])
    assert done["status"] == "completed"
    assert done["file_counts"] == {"in_progress": 0, "completed": 3, "failed": 0, "cancelled": 0, "total": 3}
    found = retriever.search("heron1x", mode="bm25")
    assert [(hit["filename"], hit["attributes"]) for hit in found] == [("note-1.md", {"kind": "note"})]
    listed = retriever.client.get(f"{BATCHES}/{made['id']}/files", params={"filter": "completed", "limit": 2}).json()
    assert len(listed["data"]) == 2
    assert listed["has_more"] is True


def test_files_with_attributes_of_their_own_and_a_broken_one(retriever: Any) -> None:
    one, two = uploaded(retriever, 2)
    broken = retriever.upload("broken.pdf", b"%PDF-1.7 and nothing else")["id"]
    files = [{"file_id": one, "attributes": {"n": 1}}, {"file_id": two, "attributes": {"n": 2}}, {"file_id": broken}]
    made = retriever.client.post(BATCHES, json={"files": files}).json()
    done = settled(retriever, made["id"])
    assert (done["status"], done["file_counts"]["completed"], done["file_counts"]["failed"]) == ("completed", 2, 1)
    failed = retriever.client.get(f"{BATCHES}/{made['id']}/files", params={"filter": "failed"}).json()["data"]
    assert [row["id"] for row in failed] == [broken]
    assert failed[0]["last_error"]["message"]


def test_cancelling_stops_what_waits_and_keeps_what_is_done(retriever: Any) -> None:
    # The first file holds the one worker up, so that the others still wait when the cancelling comes.
    slow = retriever.upload("slow.txt", b"\n\n".join(b"Paragraph %d of a long text about many things." % i for i in range(30_000)))["id"]
    retriever.add(slow)
    ids = uploaded(retriever, 3)
    made = retriever.client.post(BATCHES, json={"file_ids": ids}).json()
    stopped = retriever.client.post(f"{BATCHES}/{made['id']}/cancel").json()
    assert stopped["file_counts"]["in_progress"] == 0
    assert stopped["file_counts"]["total"] == 3
    if stopped["file_counts"]["cancelled"]:
        assert stopped["status"] == "cancelled"
    again = retriever.client.post(BATCHES, json={"file_ids": ids}).json()
    retriever.client.delete(f"/v1/vector_stores/vs_default/files/{slow}")
    assert settled(retriever, again["id"])["file_counts"]["completed"] == 3


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"file_ids": []}, 400),
        ({"file_ids": ["file-000000000000000000000000"]}, 404),
        ({"file_ids": ["x"], "files": [{"file_id": "x"}]}, 400),
        ({"files": [{"file_id": "x"}], "attributes": {"a": 1}}, 400),
        ({"file_ids": ["x"] * 501}, 400),
    ],
)
def test_calls_that_make_no_sense_add_nothing(retriever: Any, body: dict[str, Any], status: int) -> None:
    answer = retriever.client.post(BATCHES, json=body)
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]["message"]
    assert retriever.client.get("/v1/vector_stores/vs_default").json()["file_counts"]["total"] == 0


def test_another_tenants_batch_is_not_found(retriever: Any, service: Any) -> None:
    made = retriever.client.post(BATCHES, json={"file_ids": uploaded(retriever, 1)}).json()
    other = service.tenant("somebody-else")
    assert other.client.get(f"{BATCHES}/{made['id']}").status_code == 404
    assert other.client.post(f"{BATCHES}/{made['id']}/cancel").status_code == 404


def test_a_database_of_the_release_without_batches_is_brought_up(tmp_path: Path) -> None:
    tenant = Tenant("local", tmp_path)
    file = files.add(tenant, "a.md", "assistants", 3, io.BytesIO(b"abc"), max_files=9)
    with tenant.transaction() as transaction:
        transaction.execute("DROP TABLE batch_files")
        transaction.execute("DROP TABLE batches")
        transaction.execute("PRAGMA user_version = 1")
    tenant.close()
    again = Tenant("local", tmp_path)
    entries.add(again, "vs_default", file.id, {}, Chunking(64, 0))
    assert batches.create(again, "vs_default", [file.id]).counts["in_progress"] == 1
    again.close()
