"""A tiny run on self-made text, in this process or in one of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from slipway_training.recipes import FOLDER

pytest.importorskip("torch")
pytest.importorskip("accelerate")

FIELDS = ("step", "tokens", "loss", "lr", "grad_norm", "held_out", "noise", "sizes", "note")
"""What a line of the log says apart from the clock."""


@pytest.fixture
def tiny(tmp_path: Path) -> Callable[..., Any]:
    """`tiny("optim.ema=0", out="a")`: the tiny recipe's configuration with overrides, its folder below the test's."""
    from slipway_training.config import load_typed
    from slipway_training.pretrain.config import PretrainConfig

    def make(*overrides: str, out: str = "run") -> Any:
        words = ["data.invented=60", "run.tokens=20000", f"run.out={tmp_path / out}", *overrides]
        return load_typed(PretrainConfig, FOLDER / "pretrain" / "config.tiny.yaml", words)

    return make


@pytest.fixture
def curve() -> Callable[[Any], list[list[Any]]]:
    """The log of a run without the clock."""

    def read(config: Any) -> list[list[Any]]:
        lines = (Path(config.run.out) / "log.jsonl").read_text(encoding="utf-8").splitlines()
        return [[json.loads(line)[field] for field in FIELDS] for line in lines]

    return read


@pytest.fixture
def launch() -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """The recipe in processes of its own; under torchrun where there are several. Ended with the test."""
    started: list[subprocess.Popen[str]] = []

    def start(*words: str, processes: int = 1, restarts: int = 0) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m"]
        if processes > 1:
            command += ["torch.distributed.run", "--standalone", "--nproc-per-node", str(processes), "--max-restarts", str(restarts), "-m"]
        command += ["slipway_training", "train", "pretrain", "--tiny", *words]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        started.append(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        if process.stdout is not None and not process.stdout.closed:
            process.communicate()
