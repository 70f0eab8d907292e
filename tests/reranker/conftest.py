"""The real reranker on loopback."""

import contextlib
import socket
import threading
import time
from collections.abc import Generator

import httpx
import pytest
import uvicorn
from slipway_reranker.app import create_app
from slipway_reranker.settings import RerankerSettings


@contextlib.contextmanager
def serving(settings: RerankerSettings) -> Generator[httpx.Client]:
    """The real application under uvicorn, on a free port."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(create_app(settings), log_config=None, lifespan="on", timeout_graceful_shutdown=5))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            until = time.monotonic() + 60
            while not server.started:
                assert thread.is_alive() and time.monotonic() < until, "the reranker did not start"
                time.sleep(0.01)
            with httpx.Client(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=30) as client:
                yield client
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture(scope="session")
def reranker() -> Generator[httpx.Client]:
    with serving(RerankerSettings()) as client:
        yield client
