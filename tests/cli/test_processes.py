"""Only what carries the mark is ever ended."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from slipway_cli import processes

SLEEP = (sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)")


def sleeper(mark: str | None) -> "subprocess.Popen[bytes]":
    env = {name: value for name, value in os.environ.items() if name != processes.MARK}
    process = subprocess.Popen(SLEEP, env=env if mark is None else {**env, processes.MARK: mark}, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    return process


@pytest.fixture
def three(tmp_path: Path) -> Iterator[dict[str, "subprocess.Popen[bytes]"]]:
    found = {
        "ours": sleeper(processes.mark(tmp_path, "gateway")),
        "another home": sleeper(processes.mark(tmp_path / "other", "gateway")),
        "a stranger": sleeper(None),
    }
    yield found
    for process in found.values():
        process.kill()
        process.communicate()


def test_a_sweep_ends_only_the_processes_of_its_home(tmp_path: Path, three: "dict[str, subprocess.Popen[bytes]]") -> None:
    assert processes.sweep(tmp_path, grace_seconds=5.0) == ["gateway"]
    assert {name: process.poll() is None for name, process in three.items()} == {"ours": False, "another home": True, "a stranger": True}


def test_a_home_whose_path_begins_like_another_is_another(tmp_path: Path, three: "dict[str, subprocess.Popen[bytes]]") -> None:
    assert list(processes.ours(Path(str(tmp_path)[:-1]))) == []
    assert [part for part, _ in processes.ours(tmp_path)] == ["gateway"]
    assert three["ours"].poll() is None


def test_a_reused_process_id_is_not_taken_for_the_old_process() -> None:
    me = psutil.Process()
    assert processes.find(me.pid, me.create_time()) is not None
    assert processes.find(me.pid, me.create_time() - 3600) is None
    assert processes.find(None, 0.0) is None
