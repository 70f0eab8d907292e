"""Sweeps: keys and ranges, trials that count over calls, a metric that is not there."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from slipway_training.cli import app
from slipway_training.errors import ConfigError
from slipway_training.tuning.sweep import parameter
from typer.testing import CliRunner

WORDS = ["sweep", "sft", "--tiny", "--param", "optim.learning_rate=log:1e-4:1e-2", "--param", "packing=choice:true,false"]
SHORT = ["data.made=40", "optim.max_steps=3"]


def test_a_sweep_counts_earlier_trials_and_reports_the_best(tmp_path: Path) -> None:
    out = ["--out", str(tmp_path)]
    first = CliRunner().invoke(app, [*WORDS, *SHORT, "--trials", "2", *out])
    assert first.exit_code == 0, first.output
    again = CliRunner().invoke(app, [*WORDS, *SHORT, "--trials", "3", *out])
    assert again.exit_code == 0, again.output
    assert again.output.count("trial ") >= 1
    trials = json.loads((tmp_path / "trials.json").read_text(encoding="utf-8"))
    assert [t["number"] for t in trials] == [0, 1, 2]
    best = min(trials, key=lambda t: t["value"])
    assert f"Best: trial {best['number']}" in again.output
    assert len(list(tmp_path.glob("*/report.json"))) == 3
    with closing(sqlite3.connect(tmp_path / "study.db")) as study:
        assert study.execute("select count(*) from trials").fetchone() == (3,)
    values = [json.loads(p.read_text(encoding="utf-8"))["held_out_loss"] for p in tmp_path.glob("*/report.json")]
    assert min(values) == pytest.approx(best["value"])


def test_a_metric_that_no_report_has_is_told_with_those_that_it_has(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, [*WORDS, *SHORT, "--trials", "1", "--metric", "accuracy", "--out", str(tmp_path)])
    assert done.exit_code == 2
    assert "held_out_loss" in done.output.replace("\n", " ")


def test_a_trial_that_diverged_counts_and_the_sweep_goes_on(tmp_path: Path) -> None:
    words = ["sweep", "sft", "--tiny", "--param", "optim.learning_rate=choice:1e-3,1e30", *SHORT, "--out", str(tmp_path)]
    done = CliRunner().invoke(app, [*words, "--trials", "4"])
    assert done.exit_code == 0, done.output
    trials = json.loads((tmp_path / "trials.json").read_text(encoding="utf-8"))
    states = {t["params"]["optim.learning_rate"]: t["state"] for t in trials}
    assert states == {"1e-3": "complete", "1e30": "pruned"}
    assert len(trials) == 4 and "diverged" in done.output


def test_the_highest_wins_where_that_is_asked_for(tmp_path: Path) -> None:
    words = ["sweep", "sft", "--tiny", "--param", "optim.max_steps=choice:1,4", "data.made=40", "--trials", "4", "--out", str(tmp_path)]
    done = CliRunner().invoke(app, [*words, "--metric", "steps", "--highest"])
    assert done.exit_code == 0, done.output
    assert "4.0000 (steps, the highest of 4 trials)" in done.output


@pytest.mark.parametrize("text", ["optim.learning_rate", "a=log:0:1", "a=float:2:1", "a=int:1", "a=choice:", "=int:1:2", "a=normal:0:1"])
def test_what_is_no_parameter_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="is no parameter"):
        parameter(text)


def test_parameters_are_read() -> None:
    assert parameter("model.layers=int:2:8").high == 8
    assert parameter("optim.name=choice:a,b").options == ("a", "b")
