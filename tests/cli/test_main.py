"""The command itself where nothing runs: help for every verb, errors in one sentence, exit codes."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from slipway_cli import logs, places


def slipway(home: places.Home, *words: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    clean = {name: value for name, value in os.environ.items() if not name.startswith("SLIPWAY_")}
    env = {**clean, "SLIPWAY_HOME": str(home.path), "COLUMNS": "200", **environ}
    command = [sys.executable, "-m", "slipway_cli.main", *words]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)


def test_help_names_every_verb(home: places.Home) -> None:
    shown = slipway(home, "--help").stdout
    for verb in ("up", "down", "status", "logs", "ingest", "chat", "model", "batch", "keys", "safety", "train"):
        assert re.search(rf"│ {verb} ", shown), verb


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["status"], 3, "Slipway is not up"),
        (["down"], 0, "Nothing was running"),
        (["chat", "--once", "hello"], 1, "slipway up"),
        (["keys", "list"], 1, "slipway up"),
        (["logs", "gateway"], 1, "There is no log gateway"),
        (["model", "add", __file__], 1, "is no GGUF file"),
        (["train", "nothing"], 2, "there is no recipe"),
    ],
    ids=["status", "down", "chat", "keys", "logs", "model add", "train"],
)
def test_where_nothing_runs_each_verb_says_what_to_do(home: places.Home, words: list[str], code: int, message: str) -> None:
    done = slipway(home, *words)
    assert done.returncode == code, done.stderr
    assert message in done.stdout
    assert done.stderr == ""


def test_a_port_that_is_none_stops_up_before_anything_is_written(home: places.Home) -> None:
    done = slipway(home, "up", SLIPWAY_PORT="eighty", SLIPWAY_ENGINE="echo")
    assert (done.returncode, "SLIPWAY_PORT='eighty' is no port" in done.stdout) == (1, True)
    assert not home.key.exists()


def test_the_tail_of_a_log_is_its_last_lines_whatever_its_bytes(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    log.write_bytes(b"one\ntwo\n\xff\xfe three\n")
    assert logs.tail(log, 2) == ["two", "\ufffd\ufffd three"]
    assert logs.tail(log, 0) == []
    assert logs.tail(tmp_path / "none.log", 5) == []
