"""Qdrant's local mode behind the real service and the Index protocol: same answers as FAISS, tenants apart, restarts, migration, and a server that is away."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from slipway_retriever.index.exact import ExactIndex
from slipway_retriever.index.qdrant import Owner, QdrantIndex, QdrantMissing, connect
from slipway_retriever.settings import RetrieverSettings

NOTES = {
    f"{bird}.md": f"# {bird}\n\nThe {bird} nests in the {place}.".encode() for bird, place in (("heron", "reed"), ("stork", "chimney"))
}


def vectors(count: int, seed: int = 4) -> Any:
    made = np.random.default_rng(seed).standard_normal((count, 16)).astype(np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


def test_it_finds_what_exact_search_finds(tmp_path: Path) -> None:
    client = connect(str(tmp_path), None)
    ours, exact = QdrantIndex(client, "c", 16, Owner("a", "s")), ExactIndex(16)
    other = QdrantIndex(client, "c", 16, Owner("b", "s"))
    numbers, rows = np.arange(300, dtype=np.int64), vectors(300)
    for index in (ours, exact):
        index.add(numbers, rows)
        index.remove(np.array([3, 77], dtype=np.int64))
    other.add(numbers, vectors(300, seed=5))
    for query in vectors(20, seed=6):
        np.testing.assert_array_equal(ours.search(query, 10)[0], exact.search(query, 10)[0])
        np.testing.assert_allclose(ours.search(query, 10)[1], exact.search(query, 10)[1], atol=1e-5)
        some = np.arange(50, 60, dtype=np.int64)
        assert set(ours.search(query, 5, some)[0].tolist()) <= set(some.tolist())
    assert len(ours) == 298
    assert len(ours.search(rows[0], 5, np.zeros(0, np.int64))[0]) == 0
    client.close()


def test_what_an_earlier_process_left_is_taken_up_and_swept(tmp_path: Path) -> None:
    client = connect(str(tmp_path), None)
    QdrantIndex(client, "c", 16, Owner("a", "s")).add(np.arange(5, dtype=np.int64), vectors(5))
    again = QdrantIndex(client, "c", 16, Owner("a", "s"))
    assert len(again) == 5
    again.retain(np.array([1, 2], dtype=np.int64))
    assert sorted(again.search(vectors(5)[0], 10)[0].tolist()) == [1, 2]
    client.close()


def test_the_service_searches_in_qdrant_and_after_a_restart_too(tmp_path: Path, serve: Any) -> None:
    settings = RetrieverSettings(data_dir=tmp_path / "data", embedder="hash", qdrant=str(tmp_path / "qdrant"), lock_seconds=5)
    with serve(settings) as retriever:
        for name, content in NOTES.items():
            assert retriever.ingest(name, content)["status"] == "completed"
        found = retriever.search("where does the heron nest?", mode="dense")
        assert found[0]["filename"] == "heron.md"
        assert retriever.tenant("somebody-else").search("heron", mode="dense") == []
        gone = next(hit["file_id"] for hit in found if hit["filename"] == "stork.md")
        assert retriever.client.delete(f"/v1/files/{gone}").status_code == 200
        assert [hit["filename"] for hit in retriever.search("stork", mode="dense")] == ["heron.md"]


def test_migration_copies_once_and_the_service_goes_on_there(tmp_path: Path, serve: Any) -> None:
    plain = RetrieverSettings(data_dir=tmp_path / "data", embedder="hash", lock_seconds=5)
    with serve(plain) as retriever:
        for name, content in NOTES.items():
            retriever.ingest(name, content)
    environment = {
        **os.environ, "SLIPWAY_RETRIEVER_DATA_DIR": str(tmp_path / "data"), "SLIPWAY_RETRIEVER_EMBEDDER": "hash",
        "SLIPWAY_RETRIEVER_QDRANT": str(tmp_path / "qdrant"),
    }  # fmt: skip
    command = [sys.executable, "-m", "slipway_retriever.index.migrate"]
    for _ in range(2):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr[-1000:]
        assert "vs_default: 2 vectors in qdrant" in done.stdout
    with serve(plain.model_copy(update={"qdrant": str(tmp_path / "qdrant")})) as retriever:
        assert retriever.search("stork chimney", mode="dense")[0]["filename"] == "stork.md"


def test_a_server_that_is_away_stops_the_start_with_a_reason() -> None:
    with pytest.raises(QdrantMissing, match="does not answer"):
        connect("http://127.0.0.1:9", None, seconds=2)
