"""SFT end to end: the tiny command, a stop and its continuation bit for bit, packing, what is learnt, and who watches."""

import hashlib
import json
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file
from slipway_training.cli import app
from slipway_training.errors import CheckpointError, ConfigError, DataMissing
from slipway_training.recipes import recipe
from slipway_training.tuning import rows, sft
from slipway_training.tuning.base import Opened, open_base
from slipway_training.tuning.config import Rows
from slipway_training.tuning.finish import mean_loss
from slipway_training.tuning.made import conversations
from slipway_training.tuning.speed import flops_per_token
from slipway_training.tuning.trainers import newest
from typer.testing import CliRunner

QUIET = Console(quiet=True)


def test_the_tiny_command_leaves_a_model_that_learnt_and_no_pickle(
    tmp_path: Path, tiny: Any, pickles: Any, caplog: pytest.LogCaptureFixture
) -> None:
    done = CliRunner().invoke(app, ["train", "sft", "--tiny", f"run.out={tmp_path}", "run.wandb=offline", "run.tensorboard=true"])
    assert done.exit_code == 0, done.output
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert report["held_out_loss"] < 0.5 * report["held_out_loss_before"]
    assert not pickles(tmp_path)
    config = tiny("sft", tmp_path)
    held = rows.tokenize(rows.read_rows(config.data), open_base(tmp_path / "hf").tokenizer, config.data, assistant_only=True).held_out
    assert mean_loss(open_base(tmp_path / "hf").model, held) == pytest.approx(report["held_out_loss"], abs=1e-4)
    provenance = json.loads((tmp_path / "provenance.json").read_text(encoding="utf-8"))
    assert provenance["rows"]["licence"] == "Apache-2.0"
    assert len(provenance["base"]["sha256"]) == 64
    assert list((tmp_path / "wandb").glob("offline-run-*/*.wandb"))
    assert list((tmp_path / "tensorboard").glob("events.*"))
    assert (tmp_path / "loss.svg").stat().st_size > 2000
    line = next(line for line in done.output.splitlines() if line.startswith("sft step 20 "))
    assert all(word in line for word in ("50.0%", "tok/s", "MFU", "loss", "min left"))
    assert "callbacks" not in caplog.text + done.output  # transformers warns where one class watches twice


def test_a_run_that_was_stopped_ends_with_the_same_weights(tmp_path: Path, tiny: Any) -> None:
    words = ("data.made=80", "run.checkpoint_every_steps=7")
    whole, parts = tiny("sft", tmp_path / "whole", *words), tiny("sft", tmp_path / "parts", *words)
    assert recipe("sft").start(whole, QUIET)
    log = tmp_path / "parts" / "log.jsonl"
    killer = threading.Thread(target=_kill_after, args=(log, 5), daemon=True)
    killer.start()
    assert not recipe("sft").start(parts, QUIET)
    killer.join()
    found, _ = newest(tmp_path / "parts" / "checkpoints")
    assert found is not None
    with pytest.raises(CheckpointError, match="another configuration"):
        recipe("sft").start(tiny("sft", tmp_path / "parts", *words, "optim.learning_rate=1e-4"), QUIET)
    assert recipe("sft").start(parts, QUIET)
    first, second = (load_file(tmp_path / name / "hf" / "model.safetensors") for name in ("whole", "parts"))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert [len(list((tmp_path / name / "checkpoints").iterdir())) for name in ("whole", "parts")] == [2, 2]
    steps = [json.loads(line)["step"] for line in log.read_text(encoding="utf-8").splitlines()]
    assert steps == list(range(1, len(steps) + 1))
    read = [
        [json.loads(line)["num_tokens"] for line in (tmp_path / name / "log.jsonl").read_text().splitlines()] for name in ("whole", "parts")
    ]
    assert read[0] == read[1]  # counted over the stop


def _kill_after(log: Path, steps: int) -> None:
    while not log.is_file() or log.read_bytes().count(b"\n") < steps:
        time.sleep(0.005)
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize("name", ["sft", "lora", "dpo", "distill"])
def test_a_real_run_is_tracked_and_nothing_of_it_is_sent(name: str) -> None:
    config: Any = recipe(name).load(None, [], tiny=False)
    assert config.run.wandb == "offline"
    assert not config.run.tensorboard


@pytest.mark.parametrize("name", ["sft", "dpo"])
def test_nobody_is_told_that_a_run_takes_place(name: str, tmp_path: Path, tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from trl.trainer import base_trainer

    told: list[object] = []

    def send(**what: object) -> None:
        told.append(what)

    monkeypatch.setattr(base_trainer, "send_telemetry", send)
    monkeypatch.delenv("CI", raising=False)
    assert recipe(name).start(tiny(name, tmp_path, "optim.max_steps=1"), QUIET)
    assert not told


def test_a_token_costs_by_what_is_multiplied_and_what_learns(opened: Opened) -> None:
    model = opened.model
    count = sum(p.numel() for p in model.parameters())  # input and output share a matrix, which is multiplied once
    assert flops_per_token(model, reference=False) == 6 * count
    assert flops_per_token(model, reference=True) == 8 * count
    for parameter in model.model.parameters():
        parameter.requires_grad_(False)
    assert flops_per_token(model, reference=False) == 4 * count


def test_a_damaged_checkpoint_is_passed_over(tmp_path: Path) -> None:
    for step in (5, 10):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(b"weights")
        (folder / "whole.json").write_text(json.dumps({"model.safetensors": hashlib.sha256(b"weights").hexdigest()}), encoding="utf-8")
    assert newest(tmp_path) == (tmp_path / "checkpoint-10", [])
    (tmp_path / "checkpoint-10" / "model.safetensors").write_bytes(b"weight")
    found, notes = newest(tmp_path)
    assert found == tmp_path / "checkpoint-5"
    assert "checkpoint-10 is not whole" in notes[0]


def test_packed_conversations_do_not_see_each_other(opened: Opened, tmp_path: Path, tiny: Any) -> None:
    """One packed row gives the loss of its conversations one by one."""
    config = tiny("sft", tmp_path, "data.made=12", "data.held_out=0", "packing=true", "optim.batch_rows=1")
    tokens = rows.tokenize(rows.read_rows(config.data), opened.tokenizer, config.data, assistant_only=True)
    alone = mean_loss(opened.model, tokens.train)
    trainer = sft.make_trainer(opened, tokens, config, tmp_path)
    total, count = 0.0, 0
    packed: Any = trainer.train_dataset
    assert len(packed) < len(tokens.train)
    for batch in trainer.get_train_dataloader():
        learnt = int((batch["labels"] != rows.IGNORED).sum())
        with torch.inference_mode():
            total += float(trainer.compute_loss(trainer.model, dict(batch))) * learnt
        count += learnt
    assert total / count == pytest.approx(alone, abs=1e-4)


def test_only_what_the_assistant_says_is_learnt(opened: Opened) -> None:
    messages = [
        {"role": "user", "content": "one"}, {"role": "assistant", "content": "two"},
        {"role": "user", "content": "three"}, {"role": "assistant", "content": "four"},
    ]  # fmt: skip
    ids, said = rows.encode(messages, opened.tokenizer)
    assert opened.tokenizer.decode([i for i, s in zip(ids, said, strict=True) if s]) == "two<|end|>four<|end|>"
    opened.tokenizer.chat_template = "{{ messages | length }}{% for m in messages %}{{ m['content'] }}{% endfor %}"
    with pytest.raises(ConfigError, match="rewrites earlier turns"):
        rows.encode(messages, opened.tokenizer)


def test_rows_come_from_a_file_with_its_provenance(opened: Opened, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    long = {"messages": [{"role": "user", "content": "word " * 200}, {"role": "assistant", "content": "yes"}]}
    file.write_text("\n".join(map(json.dumps, [*conversations(30), long])), encoding="utf-8")
    (tmp_path / "provenance.json").write_text('{"teacher": {"model": "t"}}', encoding="utf-8")
    data = Rows(file=str(file), licence="MIT", max_tokens=100, held_out=0.3)
    assert rows.provenance(data)["made_from"] == {"teacher": {"model": "t"}}
    tokens = rows.tokenize(rows.read_rows(data), opened.tokenizer, data, assistant_only=True)
    assert tokens.too_long == 1
    assert len(tokens.train) + len(tokens.held_out) == 30
    assert 3 <= len(tokens.held_out) <= 16
    file.write_text('{"messages": [{"role": "user"}]}', encoding="utf-8")
    with pytest.raises(ConfigError, match=r"rows\.jsonl:1"):
        rows.read_rows(data)
    with pytest.raises(DataMissing, match="is missing"):
        rows.read_rows(Rows(file=str(tmp_path / "none.jsonl")))


@pytest.mark.parametrize("name", ["sft", "lora", "dpo", "distill"])
def test_the_dry_run_says_what_it_costs(name: str, tmp_path: Path, tiny: Any) -> None:
    table: dict[str, Any] = dict(recipe(name).dry_run(tiny(name, tmp_path / "out", "run.price_per_hour=2")))
    assert {"parameters", "rows", "training tokens", "memory", "measured here", "expected", "cost"} <= table.keys()
    assert table["cost"].endswith("at 2 an hour")
    assert not (tmp_path / "out").exists()
