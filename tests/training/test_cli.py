"""The command line: it teaches, it refuses in one sentence, and the tiny recipe goes the whole way."""

import json
import re
from pathlib import Path

import pytest
from slipway_shared.manifest import load_verified
from slipway_training.cli import app
from typer.testing import CliRunner

pytest.importorskip("torch")
pytest.importorskip("llama_cpp")

runner = CliRunner()


def test_help_teaches() -> None:
    out = runner.invoke(app, ["train", "reader", "--help"]).output
    assert "--tiny" in out
    assert "--dry-run" in out
    assert "SIGTERM" in out


def test_a_wrong_key_is_one_sentence() -> None:
    result = runner.invoke(app, ["train", "reader", "--tiny", "--dry-run", "model.layer=3"])
    assert result.exit_code == 2
    assert "model.layer" in result.output


def test_without_data_the_way_out_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLIPWAY_DATA_DIR", raising=False)
    result = runner.invoke(app, ["train", "reader", f"run.out={tmp_path}/run"])
    assert result.exit_code == 2
    assert "SLIPWAY_DATA_DIR" in result.output


def test_a_dry_run_measures_and_writes_nothing(tmp_path: Path) -> None:
    result = runner.invoke(app, ["train", "reader", "--tiny", "--dry-run", f"run.out={tmp_path}/run"])
    assert result.exit_code == 0, result.output
    for word in ("parameters", "tokens", "MB", "tokens/s", "expected"):
        assert word in result.output
    assert not (tmp_path / "run").exists()


def test_the_tiny_recipe_goes_from_text_to_a_verified_flavor(tmp_path: Path) -> None:
    out = tmp_path / "run"
    result = runner.invoke(app, ["train", "reader", "--tiny", f"run.out={out}", "data.tokens=12000"])
    assert result.exit_code == 0, result.output
    for flavor in ("int8", "int4", "int4-onnx"):
        assert load_verified(out / "flavors" / flavor).manifest.model == "slipway-reader-tiny"
    report = json.loads((out / "report.json").read_text())
    assert report["parity"]["int8"]["same_next"] > 0.9
    assert (out / "loss.svg").stat().st_size < 100_000
    scored = runner.invoke(
        app, ["evaluate", "reader", "--flavor", str(out / "flavors" / "int8"), "--set", "lookup_unseen", "--limit", "6", "--write"]
    )
    assert scored.exit_code == 0, scored.output
    assert "extractive" in scored.output
    assert "f1@lookup_unseen" in load_verified(out / "flavors" / "int8").manifest.eval


def test_recipes_are_listed_and_a_wrong_name_is_told_the_right_ones() -> None:
    listed = runner.invoke(app, ["recipes"]).output
    refused = runner.invoke(app, ["train", "readr"])
    assert refused.exit_code == 2
    for name in ("reader", "pointer"):
        assert name in listed
        assert name in refused.output


def test_tiny_forms_are_tried_out_and_a_failure_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    done = runner.invoke(app, ["recipes", "--tiny", "--only", "tokenizer"])
    assert done.exit_code == 0, done.output
    assert re.fullmatch(r"tokenizer: \d+\.\d s, \d+\.\d CPU s *", done.output.strip())
    monkeypatch.setattr("sys.executable", "/bin/false")
    broken = runner.invoke(app, ["recipes", "--tiny", "--only", "tokenizer"])
    assert broken.exit_code == 1
    assert "failed: exit code 1" in broken.output
    assert "readr" in runner.invoke(app, ["recipes", "--tiny", "--only", "readr"]).output


def test_the_pointer_recipe_tells_its_cost_before_it_starts(tmp_path: Path) -> None:
    result = runner.invoke(app, ["train", "pointer", "--tiny", "--dry-run", f"run.out={tmp_path}/a run"])
    assert result.exit_code == 0, result.output
    for word in ("parameters", "tokens/s", "expected"):
        assert word in result.output
    assert not (tmp_path / "a run").exists()
