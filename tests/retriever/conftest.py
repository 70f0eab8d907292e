"""The real retriever on loopback, with the weightless embedder unless a test asks for another."""

import contextlib
import socket
import threading
import time
import uuid
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from slipway_retriever.app import create_app
from slipway_retriever.settings import RetrieverSettings


@dataclass(frozen=True)
class Running:
    """A client of a running retriever, for one tenant."""

    client: httpx.Client
    open_clients: contextlib.ExitStack

    def tenant(self, name: str) -> "Running":
        """The same service, asked for another tenant."""
        client = httpx.Client(base_url=self.client.base_url, headers={"x-slipway-tenant": name}, timeout=30)
        return Running(self.open_clients.enter_context(client), self.open_clients)

    def upload(self, name: str, content: bytes, purpose: str = "assistants") -> dict[str, Any]:
        answer = self.client.post("/v1/files", files={"file": (name, content)}, data={"purpose": purpose})
        assert answer.status_code == 200, answer.text
        return answer.json()

    def add(self, file_id: str, store: str = "vs_default", **body: Any) -> dict[str, Any]:
        answer = self.client.post(f"/v1/vector_stores/{store}/files", json={"file_id": file_id, **body})
        assert answer.status_code == 200, answer.text
        return answer.json()

    def settled(self, file_id: str, store: str = "vs_default", seconds: float = 30) -> dict[str, Any]:
        """The entry once it is completed or failed."""
        until = time.monotonic() + seconds
        while True:
            entry = self.client.get(f"/v1/vector_stores/{store}/files/{file_id}").json()
            if entry.get("status") != "in_progress":
                return entry
            assert time.monotonic() < until, entry
            time.sleep(0.02)

    def ingest(self, name: str, content: bytes, store: str = "vs_default", **body: Any) -> dict[str, Any]:
        file_id = self.upload(name, content)["id"]
        self.add(file_id, store, **body)
        return self.settled(file_id, store)

    def search(self, query: str, **body: Any) -> list[dict[str, Any]]:
        answer = self.client.post("/v1/search", json={"query": query, **body})
        assert answer.status_code == 200, answer.text
        return answer.json()["passages"]


@contextlib.contextmanager
def serving(settings: RetrieverSettings) -> Generator[Running]:
    """The real application under uvicorn, on a free port."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(create_app(settings), log_config=None, lifespan="on", timeout_graceful_shutdown=5))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            until = time.monotonic() + 60
            while not server.started:
                assert thread.is_alive() and time.monotonic() < until, "the retriever did not start"
                time.sleep(0.01)
            address = f"http://127.0.0.1:{listener.getsockname()[1]}"
            with contextlib.ExitStack() as clients:
                client = clients.enter_context(httpx.Client(base_url=address, timeout=30))
                yield Running(client, clients)
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture
def settings(tmp_path: Path) -> RetrieverSettings:
    return RetrieverSettings(data_dir=tmp_path / "data", embedder="hash", lock_seconds=1)


@pytest.fixture(scope="session")
def shared_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("retriever")


@pytest.fixture(scope="session")
def service(shared_data: Path) -> Generator[Running]:
    """One retriever for all tests that only need a tenant of their own."""
    with serving(RetrieverSettings(data_dir=shared_data, embedder="hash")) as running:
        yield running


@pytest.fixture
def retriever(service: Running) -> Running:
    """The shared retriever under a new tenant."""
    return service.tenant(f"t{uuid.uuid4().hex[:12]}")


@pytest.fixture(scope="session")
def model_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The converted model, made once for all tests of a run."""
    return tmp_path_factory.mktemp("models")


Serve = Callable[[RetrieverSettings], contextlib.AbstractContextManager[Running]]


@pytest.fixture(scope="session")
def serve() -> Serve:
    return serving
