"""Bad input on the command line: one clear sentence, exit code 2, nothing half-written."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from slipway_training.errors import ConfigError
from slipway_training.outputs import claimed, writable

pytest.importorskip("torch")

from slipway_training.cli import app
from typer.testing import CliRunner

TINY = ["train", "pretrain", "--tiny"]


def refused(words: list[str]) -> str:
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2, result.output
    assert isinstance(result.exception, SystemExit), result.exception
    return result.output.strip().splitlines()[-1]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([*TINY, "run.thread=2"], "there is no key run.thread; is run.threads meant?"),
        ([*TINY, "mdl.width=2"], "there is no key mdl; there are name, model, data, optim, run"),
        ([*TINY, "model.width=abc"], "model.width: input should be a valid integer, not 'abc'"),
        ([*TINY, "model.heads=7"], "heads must divide width"),
        ([*TINY, "run.out=FILE"], "nothing can be written to"),
        (["train", "sft", "--tiny", "run.out=FILE"], "nothing can be written to"),
        (["train", "tokenizer", "--tiny", "out=FILE"], "choose another folder by out="),
        (["train", "distill", "--tiny", "texts.samples=4", "texts.verified=false"], "the verifier chooses among them"),
        (["plan", "--hours", "1", "--out", "FILE"], "choose another folder by --out"),
        (["coord-check", "--widths", "a,b", "--out", "NEW"], "--widths wants numbers by comma, not 'a,b'"),
        (["mup-transfer", "--tiny", "--rates", "0.1,-1", "--out", "NEW"], "--rates wants positive numbers"),
        (["lr-range", "--tiny", "--low", "1", "--high", "0.1", "--out", "NEW"], "--low 1 must be above 0 and below --high 0.1"),
        (["slurm", "model.widht=4"], "is model.width meant?"),
        (["slurm", "--to", "FILE/job.sh"], "Not a directory"),
        (["export", "pointer", "NEW", "--to", "NEW"], "holds no run of the pointer recipe"),
        (["export", "card", "NEW", "--to", "NEW"], "holds no run"),
        (["portfolio", "reasoning", "--tiny", "--out", "FILE"], "choose another folder by --out"),
    ],
)
def test_what_is_wrong_is_one_sentence(words: list[str], said: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder", encoding="utf-8")
    places = {"FILE": f"{tmp_path}/file", "NEW": f"{tmp_path}/new"}
    spelled = [word.replace("FILE", places["FILE"]).replace("NEW", places["NEW"]) for word in words]
    assert said in refused(spelled)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_setting_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLIPWAY_DATA_DIR", raising=False)
    assert "reads the environment variable SLIPWAY_DATA_DIR, which is not set" in refused(["train", "tokenizer", "--dry-run"])


@pytest.mark.parametrize("recipe", ["pretrain", "reader"])
def test_a_run_without_its_data_leaves_no_folder(recipe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLIPWAY_DATA_DIR", raising=False)
    refused(["train", recipe, f"run.out={tmp_path}/runs/{recipe}", *([f"data.packed={tmp_path}/rows"] if recipe == "pretrain" else [])])
    assert not list(tmp_path.iterdir())


def test_claimed_keeps_what_was_written_and_writable_leaves_no_trace(tmp_path: Path) -> None:
    assert writable(tmp_path / "a" / "b", "--out") == tmp_path / "a" / "b"
    assert not (tmp_path / "a").exists()
    with pytest.raises(ConfigError), claimed(tmp_path / "a" / "b", "--out") as folder:
        (folder / "kept").write_text("", encoding="utf-8")
        raise ConfigError("stopped")
    assert (tmp_path / "a" / "b" / "kept").is_file()


def test_rows_with_one_changed_byte_are_not_trained_on(tmp_path: Path) -> None:
    words = [*TINY, "data.invented=60", "run.tokens=4000"]
    done = CliRunner().invoke(app, [*words, f"run.out={tmp_path}/made"])
    assert done.exit_code == 0, done.output
    rows = shutil.copytree(tmp_path / "made" / "data", tmp_path / "rows")
    shard = next(rows.glob("shard-*.arrow"))
    raw = bytearray(shard.read_bytes())
    raw[len(raw) // 2] ^= 1
    shard.write_bytes(raw)
    again = [*words, "data.invented=0", f"data.packed={rows}", f"run.out={tmp_path}/again"]
    assert "its sha256 is not the one in index.json" in refused(again)
    assert not (tmp_path / "again").exists()


@pytest.mark.parametrize("recipe", ["sft", "reader"])
def test_a_loss_that_is_no_number_ends_the_run(recipe: str, tmp_path: Path) -> None:
    extra: dict[str, Any] = {"sft": ["data.made=80"], "reader": ["data.tokens=8000"]}
    out = tmp_path / "run"
    said = refused(["train", recipe, "--tiny", f"run.out={out}", "optim.learning_rate=1e30", "optim.clip_norm=1e30", *extra[recipe]])
    assert "the run diverged; lower optim.learning_rate" in said
    assert not (out / "hf").exists()
    assert not (out / "flavors").exists()
