"""The training benchmark on a tiny model: all contestants run in their own processes, end at the same loss, and the report holds what was measured."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[3] / "training" / "benchmarks" / "train_bench.py"
SIZE = "--shape tiny --rounds 1 --steps 8 --skip 2 --batch-rows 8 --micro-rows 4 --context 64 --characters 60000 --precision fp32"


def bench(threads: int, out: Path) -> Path:
    words = [sys.executable, str(BENCH), *SIZE.split(), "--threads", str(threads), "--out", str(out)]
    environment = {key: value for key, value in os.environ.items() if key != "SLIPWAY_DATA_DIR"}
    done = subprocess.run(words, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert "HF Trainer" in done.stdout
    return out


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bench(1, tmp_path_factory.mktemp("bench"))


def test_both_end_at_the_same_loss(report: Path) -> None:
    """The same start, rows and settings in float32: what differs is the order of sums."""
    made = json.loads((report / "training.json").read_text(encoding="utf-8"))
    ours, theirs = made["medians"]["ours"], made["medians"]["trainer"]
    assert ours["held_out"] == pytest.approx(theirs["held_out"], abs=2e-4)
    assert ours["train_loss"] == pytest.approx(theirs["train_loss"], abs=2e-4)
    assert ours["held_out"] < 6.238  # the uniform guess over 512 tokens: it learned


@pytest.mark.long
def test_lanes_a_team_of_threads_and_processes_end_at_the_same_loss(tmp_path: Path) -> None:
    made = json.loads((bench(2, tmp_path) / "training.json").read_text(encoding="utf-8"))
    assert list(made["gains"]) == ["ours/trainer", "ours/trainer_processes", "ours_processes/trainer_processes", "ours_processes/trainer"]
    assert all(abs(gain["held_out_gap"]) < 2e-4 for gain in made["gains"].values())


def test_the_report_is_what_was_measured(report: Path) -> None:
    made = json.loads((report / "training.json").read_text(encoding="utf-8"))
    run = made["rounds"]["ours"][0]
    assert run["tokens_per_second"] > 0
    assert run["cpu_seconds"] > 0
    assert run["peak_mb"] > 100
    gain = made["gains"]["ours/trainer"]
    assert gain["ratio"] == pytest.approx(run["tokens_per_second"] / made["rounds"]["trainer"][0]["tokens_per_second"])
    assert f"{gain['ratio']:.2f}x the tokens/s of HF Trainer" in (report / "training.md").read_text(encoding="utf-8")
    assert made["pipeline_tokens_per_second"] > run["tokens_per_second"]
    assert 0 < made["medians"]["ours"]["mfu"] < 1
    assert (report / "training.svg").stat().st_size > 2000
