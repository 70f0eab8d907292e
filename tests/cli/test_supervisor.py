"""The supervisor over small real processes: ready, crash and heal, orderly end, a start that fails, and its own sudden death."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest
from slipway_cli import places, processes, state

Start = Callable[[str], subprocess.Popen[bytes]]
Reached = Callable[[str], state.State]
Until = Callable[[Callable[[], bool]], None]


def test_every_part_gets_ready_and_sigterm_ends_all_of_them(home: places.Home, small_platform: Start, reached: Reached) -> None:
    process = small_platform("well")
    now = reached("ready")
    assert [(part.name, part.phase) for part in now.parts] == [("gateway", "ready"), ("generator", "ready")]
    assert all(processes.find(part.pid, part.created) for part in now.parts)
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    assert reached("stopped").parts[0].pid is None
    assert list(processes.ours(home.path)) == []


def test_a_part_that_is_killed_is_started_again(small_platform: Start, reached: Reached, until: Until, home: places.Home) -> None:
    small_platform("well")
    before = reached("ready").parts[1]
    assert before.pid is not None
    os.kill(before.pid, signal.SIGKILL)

    def healed() -> bool:
        now = state.read(home.state)
        return now is not None and now.parts[1].pid not in (None, before.pid) and now.parts[1].phase == "ready"

    until(healed)
    now = reached("ready").parts[1]
    assert (now.restarts, now.last_exit) == (1, -signal.SIGKILL)


def test_a_part_that_cannot_start_ends_the_whole_start_and_is_named(small_platform: Start, reached: Reached, home: places.Home) -> None:
    process = small_platform("dies")
    assert process.wait(20) == 1
    now = reached("failed")
    assert (now.failed_part, now.problem) == ("gateway", "gateway ended with exit code 1 while it started")
    assert "there is a reason" in home.log("gateway").read_text()
    assert list(processes.ours(home.path)) == []


def test_a_part_that_ignores_sigterm_is_killed_in_the_end(small_platform: Start, reached: Reached, home: places.Home) -> None:
    process = small_platform("stubborn")
    reached("ready")
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    assert list(processes.ours(home.path)) == []


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel ties children to their parent on Linux only")
def test_parts_end_when_the_supervisor_is_killed(small_platform: Start, reached: Reached, until: Until, home: places.Home) -> None:
    process = small_platform("well")
    reached("ready")
    process.kill()
    process.wait()
    until(lambda: list(processes.ours(home.path)) == [])


def test_the_sweep_finds_what_outlived_a_killed_supervisor(small_platform: Start, reached: Reached, home: places.Home) -> None:
    process = small_platform("stubborn")
    reached("ready")
    process.kill()
    process.wait()
    assert "gateway" in {part for part, _ in processes.ours(home.path)}
    assert "gateway" in processes.sweep(home.path, grace_seconds=0.5)
    assert list(processes.ours(home.path)) == []
