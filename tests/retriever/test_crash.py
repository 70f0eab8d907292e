"""kill -9 at random points of ingestion: no document lost, none doubled, no store unreadable.

`KILLS=200 pytest tests/retriever/test_crash.py` runs the long form.
"""

import http.client
import os
import random
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

KILLS = int(os.environ.get("KILLS", "3"))
DOCUMENTS = 3 * KILLS


@pytest.mark.timeout(60 + 20 * KILLS)
def test_nothing_is_lost_doubled_or_unreadable(tmp_path: Path) -> None:
    rng = random.Random(7)
    waiting = {name(i): text(i) for i in range(DOCUMENTS)}
    for _ in range(KILLS):
        with process(tmp_path) as (server, address):
            killer = threading.Timer(rng.uniform(0.0, 0.5), server.kill)
            killer.start()
            send_until_it_dies(address, waiting)
            killer.join()
            server.wait()
        check_database(tmp_path)
    with process(tmp_path) as (server, address):
        send_until_it_dies(address, waiting)
        assert waiting == {}
        check_everything(address)
        server.terminate()
        assert server.wait(20) == 0
    check_database(tmp_path)


def name(i: int) -> str:
    return f"document-{i}.md"


def text(i: int) -> bytes:
    body = "\n\n".join(f"## Part {part}\n\nParagraph {part} of document{i}x speaks of topic{i}x{part}." for part in range(40))
    return f"# Document {i}\n\n{body}".encode()


def send_until_it_dies(address: str, waiting: dict[str, bytes]) -> None:
    """Upload and add what was not acknowledged yet; an acknowledged document is the service's to keep."""
    with httpx.Client(base_url=address, timeout=20) as client:
        try:
            for known in sorted(waiting):
                file = client.post("/v1/files", files={"file": (known, waiting[known])}).json()["id"]
                client.post("/v1/vector_stores/vs_default/files", json={"file_id": file}).raise_for_status()
                del waiting[known]
            while client.get("/v1/vector_stores/vs_default").json()["file_counts"]["in_progress"]:
                time.sleep(0.02)
        except (httpx.TransportError, KeyError):
            return


def check_everything(address: str) -> None:
    with httpx.Client(base_url=address, timeout=20) as client:
        counts = client.get("/v1/vector_stores/vs_default").json()["file_counts"]
        assert counts == {"in_progress": 0, "completed": DOCUMENTS, "failed": 0, "cancelled": 0, "total": DOCUMENTS}
        listed: list[str] = []
        after: str | None = None
        while True:
            page = client.get("/v1/files", params={"limit": 100, **({"after": after} if after else {})}).json()
            listed += [row["filename"] for row in page["data"]]
            if not page["has_more"]:
                break
            after = page["last_id"]
        assert sorted(listed) == sorted(name(i) for i in range(DOCUMENTS))
        for i in range(DOCUMENTS):
            query = {"query": f"topic{i}x39", "mode": "bm25", "top_k": 5}
            found = client.post("/v1/search", json=query).json()["passages"]
            assert [passage["filename"] for passage in found] == [name(i)]


def check_database(folder: Path) -> None:
    database = folder / "tenants" / "local" / "store.db"
    if not database.exists():
        return
    connection = sqlite3.connect(database)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        if connection.execute("PRAGMA user_version").fetchone() == (0,):
            return  # killed before its tables were committed: the next start makes them
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        halves = (
            "SELECT count(*) FROM passages p JOIN store_files e ON e.number = p.entry WHERE e.status = 'completed' AND p.vector IS NULL"
        )
        assert connection.execute(halves).fetchone() == (0,)
        for (file,) in connection.execute("SELECT id FROM files"):
            assert (folder / "tenants" / "local" / "files" / file).is_file()
    finally:
        connection.close()


@contextmanager
def process(folder: Path) -> Generator[tuple["subprocess.Popen[bytes]", str]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "SLIPWAY_RETRIEVER_DATA_DIR": str(folder), "SLIPWAY_RETRIEVER_EMBEDDER": "hash"}
    command = [sys.executable, "-m", "slipway_retriever", "--port", str(port)]
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as server:
        try:
            address = f"http://127.0.0.1:{port}"
            until = time.monotonic() + 120
            while not ready(address):
                assert server.poll() is None and time.monotonic() < until, "the retriever did not start"
                time.sleep(0.05)
            yield server, address
        finally:
            server.kill()


def ready(address: str) -> bool:
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=20)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()
