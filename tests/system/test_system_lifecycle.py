"""Start and stop as users do it: twice, with a taken port, with an altered model, with a supervisor that dies."""

import re
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from slipway_cli import models, places, processes, state

pytestmark = [pytest.mark.system, pytest.mark.timeout(400)]
PARTS = ["envoy", "gateway", "generator", "redis", "reranker", "retriever", "safety"]


def test_a_second_up_says_that_it_is_up_and_starts_nothing(platform: Any) -> None:
    before = state.read(platform.home.state)
    again = platform.cli("up")
    assert again.returncode == 0
    assert "up already" in again.stdout
    assert platform.key in again.stdout
    assert state.read(platform.home.state) == before


def test_status_lists_every_process_with_its_memory(platform: Any) -> None:
    done = platform.cli("status")
    assert done.returncode == 0
    rows = {name: re.search(rf"│ {name} .*│ yes +│ (\d+) MiB", done.stdout) for name in PARTS}
    assert not [name for name, row in rows.items() if row is None], done.stdout
    assert all(int(row.group(1)) > 0 for row in rows.values() if row is not None)


def test_logs_show_one_part_or_all(platform: Any) -> None:
    one = platform.cli("logs", "gateway", "--lines", "5").stdout
    assert {line.split("|")[0].strip() for line in one.splitlines()} <= {"gateway"}
    assert platform.cli("logs", "nobody").returncode == 1
    assert platform.cli("logs").returncode == 0


def test_no_log_holds_a_question_or_the_key(platform: Any) -> None:
    platform.ask("Where is the wombatmarker of the unlogged sentence?")
    text = "".join(log.read_text(errors="replace") for log in platform.home.logs.glob("*.log"))
    assert "wombatmarker" not in text
    assert platform.key not in text


def test_up_stream_a_killed_supervisor_up_again_down_and_nothing_is_left(own_home: dict[str, str], slipway_command: Any, left: Any) -> None:
    env = {**own_home, "SLIPWAY_GENERATOR_ECHO_GAP_SECONDS": "0.05"}
    up = slipway_command(env, "up", "--quick")
    assert up.returncode == 0, up.stdout
    home = places.Home(Path(env["SLIPWAY_HOME"]))
    _streams(env, home.key.read_text().strip())

    supervisor = processes.supervisor(home.path)
    assert supervisor is not None
    supervisor.kill()
    with ThreadPoolExecutor() as pool:
        twice = [again.result() for again in [pool.submit(slipway_command, env, "up", "--quick") for _ in range(2)]]
    assert [again.returncode for again in twice] == [0, 0], twice
    assert sorted("up already" in again.stdout for again in twice) == [False, True]

    down = slipway_command(env, "down")
    assert down.returncode == 0
    assert "gateway" in down.stdout
    assert left(home.path) == []
    assert "Nothing was running" in slipway_command(env, "down").stdout
    assert slipway_command(env, "status").returncode == 3
    now = state.read(home.state)
    assert now is not None
    assert places.Ports(now.ports).taken() == []


def test_a_taken_port_is_named_with_its_variable_and_nothing_starts(own_home: dict[str, str], slipway_command: Any, left: Any) -> None:
    with socket.create_server(("127.0.0.1", int(own_home["SLIPWAY_RETRIEVER_PORT"]))):
        up = slipway_command(own_home, "up")
    assert up.returncode == 1
    assert f"port {own_home['SLIPWAY_RETRIEVER_PORT']} is taken" in up.stdout
    assert "set SLIPWAY_RETRIEVER_PORT" in up.stdout
    assert f"pid {psutil.Process().pid}" in up.stdout
    assert left(Path(own_home["SLIPWAY_HOME"])) == []


def test_a_model_that_changed_by_one_byte_stops_the_start_and_the_log_is_named(
    own_home: dict[str, str], slipway_command: Any, left: Any, tmp_path: Path
) -> None:
    file = tmp_path / "tiny-q8_0.gguf"
    file.write_bytes(b"GGUF" + bytes(1000))
    folder = models.add(file, tmp_path / "models")
    altered = folder / file.name
    altered.write_bytes(b"GGUF" + bytes(500) + b"\1" + bytes(499))
    up = slipway_command({**own_home, "SLIPWAY_MODEL": str(folder)}, "up")
    assert up.returncode == 1
    assert "generator ended with" in up.stdout.lower()
    assert str(places.Home(Path(own_home["SLIPWAY_HOME"])).log("generator")) in up.stdout
    assert "altered" in up.stdout
    assert left(Path(own_home["SLIPWAY_HOME"])) == []


def test_a_setting_that_nobody_knows_stops_the_start_with_a_hint(own_home: dict[str, str], slipway_command: Any) -> None:
    up = slipway_command({**own_home, "SLIPWAY_GATEWAY_DEADLINE_SECOND": "1"}, "up")
    assert up.returncode == 1
    assert "SLIPWAY_GATEWAY_DEADLINE_SECONDS" in up.stdout


def _streams(env: dict[str, str], key: str) -> None:
    """An answer of the paced echo engine arrives in pieces, through both of Envoy's listeners and the gateway."""
    body = {"model": "echo", "messages": [{"role": "user", "content": "one two three four five six seven eight " * 8}], "stream": True}
    base = f"http://127.0.0.1:{env['SLIPWAY_PORT']}"
    with httpx.stream(
        "POST", f"{base}/v1/chat/completions", json=body, headers={"authorization": f"Bearer {key}"}, timeout=60, trust_env=False
    ) as answer:
        assert answer.status_code == 200
        pieces = list(answer.iter_raw())
    assert b"".join(pieces).endswith(b"data: [DONE]\n\n")
    # Held back by any hop, all of it would come with the end.
    assert b"[DONE]" not in pieces[0]
    assert len([piece for piece in pieces if b'"content"' in piece]) > 3, pieces
