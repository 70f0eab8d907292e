"""Settings from Vault, read by the real hvac client: from a fake on a real socket, and, where VAULT_ADDR names one, from a real Vault."""

import json
import os
import threading
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import hvac
import pytest
from pydantic import SecretStr
from slipway_shared import settings
from slipway_shared.settings import ServiceSettings, SettingsError, service_config

ROLE, SECRET_ID, TOKEN = "role-1", "secret-1", "hvs.test"


class FakeVault(BaseHTTPRequestHandler):
    """A fake, not a Vault: AppRole login and KV v2 reads of one secret, with Vault's status codes and bodies."""

    secrets: ClassVar[dict[str, dict[str, str]]] = {
        "gateway": {"admin_token": "from-vault", "log_level": "DEBUG"},
        "reranker": {"no_such_setting": "1"},
    }

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.path != "/v1/auth/approle/login" or (body["role_id"], body["secret_id"]) != (ROLE, SECRET_ID):
            self._answer(400, {"errors": ["invalid role or secret ID"]})
            return
        self._answer(200, {"auth": {"client_token": TOKEN, "lease_duration": 60}})

    def do_GET(self) -> None:
        if self.headers.get("X-Vault-Token") != TOKEN:
            self._answer(403, {"errors": ["permission denied"]})
            return
        name = self.path.rsplit("/", 1)[-1].split("?")[0]
        if not self.path.startswith("/v1/secret/data/slipway/") or name not in self.secrets:
            self._answer(404, {"errors": []})
            return
        self._answer(200, {"data": {"data": self.secrets[name], "metadata": {"version": 1}}})

    def log_message(self, format: str, *args: object) -> None: ...

    def _answer(self, status: int, body: dict[str, object]) -> None:
        raw = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)


class Gateway(ServiceSettings):
    model_config = service_config("SLIPWAY_GATEWAY_")
    admin_token: SecretStr = SecretStr("")


class Reranker(ServiceSettings):
    model_config = service_config("SLIPWAY_RERANKER_")


class Retriever(ServiceSettings):
    model_config = service_config("SLIPWAY_RETRIEVER_")


@pytest.fixture
def vault(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), FakeVault)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("SLIPWAY_VAULT_ADDR", address)
    yield address
    server.shutdown()
    thread.join()
    server.server_close()


def test_vault_beats_the_environment_and_a_secret_stays_secret(vault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_VAULT_TOKEN", TOKEN)
    monkeypatch.setenv("SLIPWAY_GATEWAY_LOG_LEVEL", "ERROR")
    loaded = settings.load(Gateway)
    assert loaded.log_level == "DEBUG"
    assert loaded.admin_token.get_secret_value() == "from-vault"
    assert "from-vault" not in repr(loaded)


def test_a_service_logs_in_by_approle(vault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_VAULT_ROLE_ID", ROLE)
    monkeypatch.setenv("SLIPWAY_VAULT_SECRET_ID", SECRET_ID)
    assert settings.load(Gateway).log_level == "DEBUG"


def test_a_service_without_a_secret_starts_on_its_environment(vault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_VAULT_TOKEN", TOKEN)
    assert settings.load(Retriever).log_level == "INFO"


def test_a_setting_that_does_not_exist_is_refused_in_vault_too(vault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_VAULT_TOKEN", TOKEN)
    with pytest.raises(SettingsError, match="NO_SUCH_SETTING"):
        settings.load(Reranker)


@pytest.mark.parametrize("token", ["wrong", ""])
def test_a_closed_vault_stops_the_start_in_one_sentence(vault: str, monkeypatch: pytest.MonkeyPatch, token: str) -> None:
    monkeypatch.setenv("SLIPWAY_VAULT_TOKEN", token)
    with pytest.raises(SettingsError, match=f"Vault at {vault} did not give slipway/gateway: Forbidden"):
        settings.load(Gateway)


def test_an_absent_vault_stops_the_start_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_VAULT_ADDR", "http://127.0.0.1:9")
    with pytest.raises(SettingsError, match="did not give slipway/gateway: ConnectionError"):
        settings.load(Gateway)


@pytest.mark.skipif("VAULT_ADDR" not in os.environ, reason="VAULT_ADDR names no real Vault")
def test_a_real_vault_says_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    client = hvac.Client(url=os.environ["VAULT_ADDR"], token=os.environ["VAULT_TOKEN"])
    value = uuid.uuid4().hex
    client.secrets.kv.v2.create_or_update_secret(path="slipway/gateway", secret={"admin_token": value})
    monkeypatch.setenv("SLIPWAY_VAULT_ADDR", os.environ["VAULT_ADDR"])
    monkeypatch.setenv("SLIPWAY_VAULT_TOKEN", os.environ["VAULT_TOKEN"])
    assert settings.load(Gateway).admin_token.get_secret_value() == value
