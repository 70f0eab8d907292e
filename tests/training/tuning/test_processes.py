"""Tuning under torchrun: two processes say what one says, stop together, and the recipes that cannot be shared say so."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file
from slipway_training.errors import ConfigError
from slipway_training.recipes import recipe
from slipway_training.tuning.processes import Processes

WORDS = ("data.made=80", "optim.epochs=2", "run.checkpoint_every_steps=5")
Launch = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def launch() -> Generator[Launch]:
    """A recipe's tiny form in two processes of one thread, ended with the test."""
    started: list[subprocess.Popen[str]] = []

    def start(name: str, *words: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "slipway_training"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        started.append(
            subprocess.Popen(
                [*command, "train", name, "--tiny", *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
            )
        )
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def losses(folder: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "hf" / "model.safetensors")


def test_two_processes_say_what_one_says(tmp_path: Path, tiny: Any, launch: Launch, pickles: Any) -> None:
    process = launch("sft", *WORDS, f"run.out={tmp_path / 'two'}")
    assert recipe("sft").start(tiny("sft", tmp_path / "one", *WORDS), Console(quiet=True))
    said = process.communicate(timeout=170)[0]
    assert process.returncode == 0, said
    assert said.count("held-out loss") == 1
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), rel=2e-3)
    mine, theirs = weights(tmp_path / "one"), weights(tmp_path / "two")
    assert mine.keys() == theirs.keys()
    assert max(float((mine[name] - theirs[name]).abs().max()) for name in mine) < 1e-2
    newest = max((tmp_path / "two" / "checkpoints").iterdir(), key=lambda p: int(p.name.rpartition("-")[2]))
    assert {"rng.json", "rng-1.json", "optimizer.safetensors", "whole.json"} <= {path.name for path in newest.iterdir()}
    assert not pickles(tmp_path)


@pytest.mark.long
def test_a_stop_that_reaches_all_is_gone_on_from_by_all(tmp_path: Path, launch: Launch) -> None:
    whole = launch("sft", *WORDS, f"run.out={tmp_path / 'whole'}")
    assert whole.wait(170) == 0
    parts = launch("sft", *WORDS, f"run.out={tmp_path / 'parts'}")
    log, end = tmp_path / "parts" / "log.jsonl", time.monotonic() + 120
    while not log.is_file() or log.read_bytes().count(b"\n") < 7:
        assert time.monotonic() < end
        time.sleep(0.01)
    # The last of torchrun's processes alone is told; the others must hear of it.
    workers = subprocess.run(["pgrep", "-P", str(parts.pid)], capture_output=True, text=True, check=True).stdout.split()
    os.kill(int(workers[-1]), signal.SIGTERM)
    assert parts.wait(120) != 0
    assert not (tmp_path / "parts" / "hf").exists()
    again = launch("sft", *WORDS, f"run.out={tmp_path / 'parts'}")
    assert again.wait(170) == 0
    first, second = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.long
def test_an_adapter_is_tuned_by_two_processes(tmp_path: Path, launch: Launch, tiny: Any) -> None:
    # Within the first epoch: at its end rows are repeated so that both processes have as many.
    words = ("search.trials=0", "data.made=60", "optim.max_steps=6")
    process = launch("lora", *words, f"run.out={tmp_path / 'two'}")
    assert recipe("lora").start(tiny("lora", tmp_path / "one", *words), Console(quiet=True))
    said = process.communicate(timeout=170)[0]
    assert process.returncode == 0, said
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), rel=2e-3)
    assert (tmp_path / "two" / "adapter" / "adapter_model.safetensors").is_file()


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "words", "leaves"),
    [
        ("distill", ("method=logits",), "cache/index.json"),
        ("distill", ("method=sequence", "texts.verified=false"), "teacher_rows.jsonl"),
        ("dpo", (), "report.json"),
    ],
)
def test_teachers_and_pairs_are_made_once_and_learnt_from_by_two(
    name: str, words: tuple[str, ...], leaves: str, tmp_path: Path, tiny: Any, launch: Launch, pickles: Any
) -> None:
    words = (*words, "optim.max_steps=6")
    process = launch(name, *words, f"run.out={tmp_path / 'two'}")
    assert recipe(name).start(tiny(name, tmp_path / "one", *words), Console(quiet=True))
    said = process.communicate(timeout=240)[0]
    assert process.returncode == 0, said
    # A mean over half a batch in each process is not the mean over the batch where the halves hold unlike numbers of tokens.
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), rel=0.05)
    assert (tmp_path / "two" / leaves).is_file()
    assert not pickles(tmp_path)


def test_what_cannot_be_shared_is_refused_before_anything_is_written(tmp_path: Path, tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match=r"search\.trials.* runs in one process"):
        recipe("lora").start(tiny("lora", tmp_path / "run"), Console(quiet=True))
    assert not (tmp_path / "run").exists()


def test_a_batch_is_shared_out_evenly_or_not_at_all() -> None:
    assert Processes(0, 2).share(8) == 4
    with pytest.raises(ConfigError, match="make it a multiple of 3"):
        Processes(1, 3).share(8)
    assert Processes(1, 3).console(Console()).quiet
