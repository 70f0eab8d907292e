"""Files and vector stores in OpenAI's shapes: what is accepted is kept, what is deleted is gone, what is refused says why."""

import os
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest
from slipway_retriever.routes.files import clean_name
from slipway_retriever.settings import RetrieverSettings
from slipway_shared import errors


def test_a_file_is_kept_listed_read_and_deleted(retriever: Any) -> None:
    file = retriever.upload("a.txt", b"hello")
    assert (file["object"], file["bytes"], file["filename"], file["purpose"]) == ("file", 5, "a.txt", "assistants")
    assert retriever.client.get("/v1/files").json()["data"] == [file]
    assert retriever.client.get(f"/v1/files/{file['id']}/content").content == b"hello"
    assert retriever.client.delete(f"/v1/files/{file['id']}").json() == {"id": file["id"], "object": "file", "deleted": True}
    assert retriever.client.get(f"/v1/files/{file['id']}").status_code == 404
    assert retriever.client.get("/v1/files").json()["data"] == []


def test_the_same_upload_twice_is_one_file(retriever: Any) -> None:
    first, again = retriever.upload("a.txt", b"hello"), retriever.upload("a.txt", b"hello")
    assert first == again
    assert retriever.upload("b.txt", b"hello")["id"] != first["id"]
    assert retriever.upload("a.txt", b"other")["id"] != first["id"]


@pytest.mark.parametrize("name", ["../../etc/passwd", "C:\\temp\\passwd", "a/b/passwd", "/passwd"])
def test_a_file_name_is_a_name_and_never_a_path(retriever: Any, shared_data: Path, name: str) -> None:
    assert retriever.upload(name, b"x")["filename"] == "passwd"
    outside = [path for path in shared_data.rglob("*") if "passwd" in path.name]
    assert outside == []


@pytest.mark.parametrize("name", ["pass\nwd", "\x00passwd", "pass\u202ewd", "a/./passwd", "..\\passwd"])
def test_no_control_character_or_direction_mark_stays_in_a_name(name: str) -> None:
    assert clean_name(name) == "passwd"


@pytest.mark.parametrize("name", ["", "..", "a/..", "\n", "x" * 256, None])
def test_a_name_that_names_nothing_is_refused(name: str | None) -> None:
    with pytest.raises(errors.BadRequest):
        clean_name(name)


def test_lists_are_paged_in_both_directions(retriever: Any) -> None:
    ids = [retriever.upload(f"{i}.txt", str(i).encode())["id"] for i in range(5)]
    first = retriever.client.get("/v1/files", params={"limit": 2, "order": "asc"}).json()
    assert ([row["id"] for row in first["data"]], first["has_more"]) == (ids[:2], True)
    rest = retriever.client.get("/v1/files", params={"limit": 10, "order": "asc", "after": first["last_id"]}).json()
    assert ([row["id"] for row in rest["data"]], rest["has_more"]) == (ids[2:], False)
    newest = retriever.client.get("/v1/files", params={"limit": 1}).json()["data"]
    assert newest[0]["id"] == ids[-1]
    assert retriever.client.get("/v1/files", params={"after": "file-nothing"}).status_code == 400
    assert retriever.client.get("/v1/files", params={"limit": 0}).status_code == 400


def test_the_default_store_is_there_for_everybody_and_survives_deletion(retriever: Any) -> None:
    store = retriever.tenant("fresh").client.get("/v1/vector_stores/vs_default").json()
    assert (store["id"], store["name"], store["status"]) == ("vs_default", "default", "completed")
    retriever.ingest("a.txt", b"The heron stands still.")
    retriever.client.delete("/v1/vector_stores/vs_default")
    assert retriever.search("heron") == []
    assert retriever.client.get("/v1/vector_stores/vs_default").json()["file_counts"]["total"] == 0


def test_a_store_counts_its_files_and_bytes(retriever: Any) -> None:
    store = retriever.client.post("/v1/vector_stores", json={"name": "docs", "metadata": {"team": "a"}}).json()
    assert (store["object"], store["name"], store["metadata"]) == ("vector_store", "docs", {"team": "a"})
    retriever.ingest("good.txt", b"Some text.", store["id"])
    retriever.ingest("bad.pdf", b"%PDF-1.7 nonsense", store["id"])
    counted = retriever.client.get(f"/v1/vector_stores/{store['id']}").json()
    assert counted["file_counts"] == {"in_progress": 0, "completed": 1, "failed": 1, "cancelled": 0, "total": 2}
    assert counted["usage_bytes"] > 0
    failed = retriever.client.get(f"/v1/vector_stores/{store['id']}/files", params={"filter": "failed"}).json()["data"]
    assert [row["filename"] for row in failed] == ["bad.pdf"]
    changed = retriever.client.post(f"/v1/vector_stores/{store['id']}", json={"name": "papers"}).json()
    assert (changed["name"], changed["metadata"]) == ("papers", {"team": "a"})
    assert retriever.client.delete(f"/v1/vector_stores/{store['id']}").json()["deleted"] is True
    assert retriever.client.get(f"/v1/vector_stores/{store['id']}").status_code == 404


def test_a_store_takes_files_when_it_is_created(retriever: Any) -> None:
    file = retriever.upload("a.txt", b"The bittern booms.")
    store = retriever.client.post("/v1/vector_stores", json={"name": "birds", "file_ids": [file["id"]]}).json()
    assert retriever.settled(file["id"], store["id"])["status"] == "completed"
    assert retriever.search("bittern", vector_store_ids=[store["id"]])[0]["text"] == "The bittern booms."


def test_adding_the_same_file_again_doubles_nothing(retriever: Any) -> None:
    entry = retriever.ingest("a.txt", b"The heron stands still.")
    retriever.add(entry["id"])
    again = retriever.settled(entry["id"])
    assert again["created_at"] == entry["created_at"]
    assert len(retriever.search("heron", top_k=10)) == 1


def test_another_chunking_cuts_the_file_anew(retriever: Any) -> None:
    text = "\n\n".join(f"Paragraph {i} speaks about subject {i} at some length, with several words." for i in range(40)).encode()
    entry = retriever.ingest("long.txt", text)
    strategy = {"type": "static", "static": {"max_chunk_size_tokens": 32, "chunk_overlap_tokens": 0}}
    retriever.add(entry["id"], chunking_strategy=strategy)
    finer = retriever.settled(entry["id"])
    assert finer["progress"]["passages"] > 2 * entry["progress"]["passages"]
    assert finer["chunking_strategy"] == strategy


@pytest.mark.parametrize("path", ["/v1/files/{file}", "/v1/vector_stores/vs_default/files/{file}", "/v1/vector_stores/vs_default"])
def test_deleted_text_is_nowhere_on_the_disk(serve: Any, settings: RetrieverSettings, path: str) -> None:
    with serve(settings) as running:
        entry = running.ingest("note.txt", b"The plover hides quorxiblat in the dunes.")
        assert running.client.delete(path.format(file=entry["id"])).status_code == 200
        assert running.search("quorxiblat") == []
        left = [p for p in settings.data_dir.rglob("*") if p.is_file() and b"quorxiblat" in p.read_bytes()]
    # Taking a file out of a store keeps the file itself; nothing else may hold its words.
    kept = [] if path.startswith("/v1/files") else [settings.data_dir / "tenants" / "local" / "files" / entry["id"]]
    assert left == kept


def test_a_file_over_the_limit_is_refused(serve: Any, tmp_path: Path) -> None:
    with serve(RetrieverSettings(data_dir=tmp_path, embedder="hash", max_file_bytes=1000)) as running:
        answer = running.client.post("/v1/files", files={"file": ("big.txt", b"x" * 1001)})
        assert answer.status_code == 413
        assert answer.json()["error"]["code"] == "request_too_large"
        assert running.client.get("/v1/files").json()["data"] == []
        assert running.upload("fits.txt", b"x" * 1000)["bytes"] == 1000


def test_limits_on_numbers_hold(serve: Any, tmp_path: Path) -> None:
    with serve(RetrieverSettings(data_dir=tmp_path, embedder="hash", max_files=1, max_stores=2)) as running:
        running.upload("a.txt", b"a")
        assert running.client.post("/v1/files", files={"file": ("b.txt", b"b")}).status_code == 409
        running.client.get("/v1/vector_stores/vs_default")
        assert running.client.post("/v1/vector_stores", json={}).status_code == 200
        assert running.client.post("/v1/vector_stores", json={}).status_code == 409


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/v1/vector_stores", {"surprise": 1}, 400),
        ("POST", "/v1/vector_stores", {"metadata": {"k": "v" * 1000}}, 400),
        ("POST", "/v1/vector_stores/vs_none/files", {"file_id": "file-x"}, 404),
        ("POST", "/v1/vector_stores/vs_default/files", {"file_id": "file-x"}, 404),
        ("POST", "/v1/vector_stores/vs_default/files", {"file_id": "file-x", "attributes": {"a": {"b": 1}}}, 400),
        ("POST", "/v1/vector_stores/vs_default/files", {"file_id": "f", "chunking_strategy": {"type": "static"}}, 400),
        ("GET", "/v1/vector_stores/vs_default/files/file-x", None, 404),
        ("GET", "/v1/files/..%2f..%2fstore.db", None, 404),
        ("DELETE", "/v1/vector_stores/vs_none", None, 404),
    ],
)
def test_bad_requests_get_an_openai_error(retriever: Any, method: str, path: str, body: Any, status: int) -> None:
    answer = retriever.client.request(method, path, json=body)
    assert answer.status_code == status
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


def test_an_upload_without_a_file_is_refused(retriever: Any) -> None:
    assert retriever.client.post("/v1/files", data={"purpose": "assistants"}).status_code == 400
    assert retriever.client.post("/v1/files", files={"file": ("a.txt", b"x")}, data={"purpose": "world domination"}).status_code == 400
    assert (
        retriever.client.post("/v1/files", content=b"--x", headers={"content-type": "multipart/form-data; boundary=y"}).status_code == 400
    )


def test_everything_is_there_after_a_restart(serve: Any, settings: RetrieverSettings) -> None:
    with serve(settings) as running:
        entry = running.ingest("heron.txt", b"The heron stands still in the reeds.")
    with serve(settings) as running:
        assert running.client.get(f"/v1/vector_stores/vs_default/files/{entry['id']}").json() == entry
        assert running.search("heron reeds")[0]["file_id"] == entry["id"]


def test_a_stop_during_a_slow_file_loses_nothing_and_takes_no_attempt(serve: Any, settings: RetrieverSettings) -> None:
    with serve(settings) as running:
        file = running.upload("slow.txt", b"The heron stands still in the reeds.")
        blob = settings.data_dir / "tenants" / "local" / "files" / file["id"]
        content = blob.read_bytes()
        blob.unlink()
        os.mkfifo(blob)  # reading it blocks until the parser is ended
        running.add(file["id"])
        time.sleep(0.5)
    blob.unlink()
    blob.write_bytes(content)
    with serve(settings) as running:
        assert running.settled(file["id"])["status"] == "completed"
        assert running.search("heron")[0]["file_id"] == file["id"]


def test_passages_are_counted(serve: Any, settings: RetrieverSettings) -> None:
    with serve(settings) as running:
        running.ingest("a.md", b"# A\n\none\n\n# B\n\ntwo")
        assert "slipway_passages 2.0" in running.client.get("/metrics").text


def test_a_second_process_on_the_folder_is_refused(serve: Any, settings: RetrieverSettings) -> None:
    from slipway_retriever.store.tenants import FolderInUse, Tenants

    with serve(settings), pytest.raises(FolderInUse, match="SLIPWAY_RETRIEVER_DATA_DIR"):
        Tenants(settings.data_dir, lock_seconds=0.1)


def test_a_database_of_another_release_stops_the_start(tmp_path: Path) -> None:
    from slipway_retriever.store.schema import UnknownVersion, connect

    connection = sqlite3.connect(tmp_path / "store.db")
    connection.execute("PRAGMA user_version=99")
    connection.close()
    with pytest.raises(UnknownVersion, match="schema 99"):
        connect(tmp_path / "store.db")


def test_text_is_embedded_anew_when_the_embedder_changes(serve: Any, settings: RetrieverSettings) -> None:
    with serve(settings) as running:
        entry = running.ingest("heron.txt", b"The heron stands still in the reeds.")
    database = settings.data_dir / "tenants" / "local" / "store.db"
    connection = sqlite3.connect(database)
    connection.execute("UPDATE store_files SET embedder = 'another'")
    connection.execute("UPDATE passages SET vector = zeroblob(4)")
    connection.commit()
    connection.close()
    with serve(settings) as running:
        assert running.settled(entry["id"])["status"] == "completed"
        deadline = time.monotonic() + 10
        while not running.search("heron reeds", mode="dense"):
            assert time.monotonic() < deadline
        assert running.search("heron reeds", mode="dense")[0]["score"] > 0.5
