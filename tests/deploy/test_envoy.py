"""What the edge lets in, where the internal listener leads, and that neither holds a byte back."""

import asyncio
import json
import subprocess
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from slipway_cli import envoy, places
from yarl import URL

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "envoy" / "envoy.yaml"


def test_envoy_itself_accepts_the_configuration(tmp_path: Path) -> None:
    envoy.write(TEMPLATE, places.ports({}), tmp_path / "envoy.json")
    done = subprocess.run(
        [str(envoy.binary()), "--mode", "validate", "-l", "warning", "-c", str(tmp_path / "envoy.json")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


def test_every_part_of_the_configuration_listens_on_loopback_and_uses_the_ports_it_was_given() -> None:
    ports = places.Ports({name: 20000 + i for i, name in enumerate(places.DEFAULT_PORTS)})
    document = envoy.render(TEMPLATE, ports)
    sockets = _sockets(document)
    assert {socket["address"] for socket in sockets} == {"127.0.0.1"}
    assert {socket["port_value"] for socket in sockets} == set(ports.by_variable.values()) - {ports["SLIPWAY_REDIS_PORT"]}
    assert not [key for key in document if key.startswith("x-")]


def test_a_placeholder_without_a_port_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "t.yaml").write_text("a: ${nobody_port}")
    with pytest.raises(KeyError, match="nobody_port"):
        envoy.render(tmp_path / "t.yaml", places.ports({}))


def test_no_filter_buffers_and_no_route_of_a_stream_has_a_total_timeout() -> None:
    document: dict[str, Any] = envoy.render(TEMPLATE, places.ports({}))
    for listener in document["static_resources"]["listeners"]:
        manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
        assert [one["name"] for one in manager["http_filters"]] == ["envoy.filters.http.router"]
        routes = manager["route_config"]["virtual_hosts"][0]["routes"]
        assert all(route["route"]["timeout"] == "0s" and route["route"]["idle_timeout"] for route in routes if "route" in route)


@pytest.mark.parametrize(
    "path", ["/", "/playground/app.js", "/v1/models", "/v1/vector_stores/vs_default/files", "/docs", "/openapi.json", "/healthz"]
)
async def test_the_edge_lets_in_what_users_may_reach(played: Any, http: aiohttp.ClientSession, path: str) -> None:
    async with http.get(played.edge + path) as answer:
        assert answer.status == 200
        assert await answer.json() == {"service": "gateway", "path": path}


@pytest.mark.parametrize(
    "path",
    [
        "/admin", "/admin/keys", "/metrics", "/readyz", "/generator/v1/models", "/safety/v1/check", "/v1", "/playgrounds", "/docsx", "/healthz/x",
        "/v1/../admin/keys", "/v1/%2e%2e/admin/keys", "//admin", "/favicon",
    ],
)  # fmt: skip
async def test_the_edge_answers_anything_else_with_an_error_object(played: Any, http: aiohttp.ClientSession, path: str) -> None:
    async with http.get(URL(played.edge + path, encoded=True)) as answer:
        assert answer.status == 404
        assert answer.content_type == "application/json"
        assert (await answer.json())["error"]["code"] == "unknown_route"
    assert played.seen == []


async def test_an_escaped_slash_is_refused(played: Any, http: aiohttp.ClientSession) -> None:
    async with http.get(URL(f"{played.edge}/v1/..%2fadmin", encoded=True)) as answer:
        assert answer.status == 400
        assert (await answer.json())["error"]["type"] == "invalid_request_error"
    assert played.seen == []


@pytest.mark.parametrize("name", ["generator", "retriever", "reranker", "safety"])
async def test_the_internal_listener_takes_the_prefix_off(played: Any, http: aiohttp.ClientSession, name: str) -> None:
    async with http.post(f"{played.internal}/{name}/v1/work", data=b"x") as answer:
        assert await answer.json() == {"service": name, "path": "/v1/work"}


@pytest.mark.parametrize("device_class", ["x86", "arm", "gpu", "mobile", "nonsense"])
async def test_a_device_class_without_a_pool_of_its_own_is_served_by_the_default(
    played: Any, http: aiohttp.ClientSession, device_class: str
) -> None:
    async with http.get(f"{played.internal}/generator/v1/models", headers={"x-slipway-device-class": device_class}) as answer:
        assert (await answer.json())["service"] == "generator"


async def test_ids_and_traces_pass_and_a_caller_cannot_name_its_tenant(played: Any, http: aiohttp.ClientSession) -> None:
    sent = {
        "x-request-id": "req_mine", "traceparent": f"00-{'a' * 32}-{'b' * 16}-01", "x-slipway-tenant": "somebody", "x-slipway-deadline-ms": "1",
        "x-slipway-device-class": "x86", "x-envoy-upstream-rq-timeout-ms": "1",
    }  # fmt: skip
    async with http.get(f"{played.edge}/v1/models", headers=sent) as answer:
        assert answer.headers["x-request-id"] == "req_mine"
        assert not [name for name in answer.headers if name.lower().startswith("x-envoy")]
    got = played.seen[0][1].headers
    assert (got["x-request-id"], got["traceparent"], got["x-slipway-device-class"]) == ("req_mine", sent["traceparent"], "x86")
    assert "x-slipway-tenant" not in got
    assert "x-slipway-deadline-ms" not in got
    async with http.get(f"{played.internal}/retriever/v1/search", headers=sent):
        pass
    assert played.seen[1][1].headers["x-slipway-tenant"] == "somebody"


async def test_no_request_id_is_invented(played: Any, http: aiohttp.ClientSession) -> None:
    async with http.get(f"{played.edge}/v1/models"):
        pass
    assert "x-request-id" not in played.seen[0][1].headers


@pytest.mark.parametrize("listener", ["edge", "internal"])
async def test_a_frame_passes_before_the_next_one_exists(played: Any, http: aiohttp.ClientSession, listener: str) -> None:
    base = played.edge if listener == "edge" else f"{played.internal}/generator"
    async with http.get(f"{base}/v1/stream") as answer:
        # The second frame is only made once the first one has been read here: a hop that held it back would wait for ever.
        assert await asyncio.wait_for(answer.content.readuntil(b"\n\n"), 10) == b"data: 1\n\n"
        played.go_on.set()
        assert await answer.content.read() == b"data: 2\n\n"


async def test_weights_of_a_pool_move_at_run_time(played: Any, http: aiohttp.ClientSession) -> None:
    key = "slipway.generator.x86.generator-x86-stable"
    async with http.post(f"{played.admin}/runtime_modify?{key}=100") as answer:
        assert answer.status == 200
    async with http.get(f"{played.admin}/runtime?format=json") as answer:
        assert json.loads(await answer.text())["entries"][key]["final_value"] == "100"


async def test_a_service_that_is_down_is_a_503_in_the_dialect(
    envoy_log: Path, free_ports: places.Ports, http: aiohttp.ClientSession
) -> None:
    async with http.post(f"http://127.0.0.1:{free_ports['SLIPWAY_INTERNAL_PORT']}/generator/v1/chat/completions", json={}) as answer:
        assert answer.status == 503
        assert answer.headers["retry-after"] == "1"
        assert (await answer.json())["error"] == {
            "message": "This part of the platform is not reachable now; try again.", "type": "overloaded_error", "param": None, "code": "overloaded",
        }  # fmt: skip


async def test_the_access_log_holds_no_query_and_no_secret(played: Any, http: aiohttp.ClientSession, envoy_log: Path) -> None:
    headers = {"authorization": "Bearer sk-very-secret", "x-request-id": "req_logged"}
    async with http.post(f"{played.edge}/v1/files?name=private-words", headers=headers, data=b"text of a user"):
        pass
    async with http.post(f"{played.admin}/reopen_logs"):
        pass
    # Envoy writes its log once a second.
    async with asyncio.timeout(60):
        while not (lines := [line for line in envoy_log.read_text().splitlines() if "req_logged" in line]):
            await asyncio.sleep(0.1)
    entry = json.loads(lines[0])
    assert (entry["listener"], entry["method"], entry["path"], entry["status"], entry["cluster"]) == (
        "edge",
        "POST",
        "/v1/files",
        200,
        "gateway",
    )
    text = envoy_log.read_text()
    assert not [word for word in ("private-words", "sk-very-secret", "text of a user") if word in text]


def _sockets(node: Any) -> list[dict[str, Any]]:
    if isinstance(node, dict):
        found = [node["socket_address"]] if "socket_address" in node else []
        return found + [socket for value in node.values() for socket in _sockets(value)]
    return [socket for value in node for socket in _sockets(value)] if isinstance(node, list) else []
