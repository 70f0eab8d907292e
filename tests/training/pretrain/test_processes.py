"""Several processes under torchrun on one machine: the same losses as one process, sharded or not, and a lost process that comes back."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from slipway_training.pretrain.hf import write_hf
from slipway_training.pretrain.recipe import open_loop
from slipway_training.pretrain.rows import find_rows

Curve = Callable[[Any], list[list[Any]]]
WORDS = ("run.tokens=6000", "run.precision=fp32", "data.invented=60", "run.checkpoint_every_steps=3")


def alone(config: Any) -> None:
    folder = Path(config.run.out)
    open_loop(config, find_rows(config.data, folder, config.run.seed), folder).train(lambda _step: None)


@pytest.mark.parametrize("sharding", ["none", pytest.param("zero2", marks=pytest.mark.long), "zero3"])
def test_two_processes_say_what_one_says(tiny: Callable[..., Any], curve: Curve, launch: Callable[..., Any], sharding: str) -> None:
    one, two = tiny(*WORDS, out="one"), tiny(*WORDS, out="two")
    alone(one)
    process = launch(*WORDS, f"run.out={two.run.out}", f"run.sharding={sharding}", "run.shard_mb=1", processes=2)
    said = process.communicate(timeout=170)[0]
    assert process.returncode == 0, said
    for left, right in zip(curve(one), curve(two), strict=True):
        assert left[2] == pytest.approx(right[2], rel=1e-4)
        assert left[4] == pytest.approx(right[4], rel=1e-3)
    mine, theirs = (load_file(next(Path(c.run.out).glob("checkpoints/step-00000006/model.safetensors"))) for c in (one, two))
    assert mine.keys() == theirs.keys()
    assert max(float((mine[name] - theirs[name]).abs().max()) for name in mine) < 1e-3
    assert (Path(two.run.out) / "hf" / "model.safetensors").is_file()


@pytest.mark.long
def test_a_killed_process_is_started_again_and_the_run_ends_as_if_nothing_had_been(
    tiny: Callable[..., Any], curve: Curve, launch: Callable[..., Any]
) -> None:
    words = ("run.tokens=20000", "run.precision=fp32", "data.invented=60", "run.checkpoint_every_steps=1")
    one, two = tiny(*words, out="one"), tiny(*words, out="two")
    alone(one)
    process = launch(*words, f"run.out={two.run.out}", processes=2, restarts=1)
    log = Path(two.run.out) / "log.jsonl"
    end = time.monotonic() + 120
    while not log.is_file() or log.read_text().count("\n") < 4:
        assert time.monotonic() < end
        time.sleep(0.05)
    workers = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=True).stdout.split()
    os.kill(int(workers[-1]), signal.SIGKILL)
    said = process.communicate(timeout=500)[0]
    assert process.returncode == 0, said
    for left, right in zip(curve(one), curve(two), strict=True):
        assert left[2] == pytest.approx(right[2], rel=1e-4)


KILLS_ITSELF_ONCE = """
import os, signal, sys
import torch
import torch.distributed as dist
from slipway_training.pretrain.processes import join_processes

join_processes(gpu=False)
total = torch.ones(1)
dist.all_reduce(total)
if os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
    if dist.get_rank() == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    dist.barrier()  # with a dead process: raises
os.write(1, b"together %d\\n" % int(total))  # one write: two processes share the pipe
dist.destroy_process_group()
"""


def test_processes_find_each_other_again_after_one_was_killed(tmp_path: Path) -> None:
    """One restart is enough: the second attempt reads no address of the first."""
    file = tmp_path / "kills_itself.py"
    file.write_text(KILLS_ITSELF_ONCE, encoding="utf-8")
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--max-restarts", "1", str(file)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=150, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("together 2") == 2


def test_a_checkpoint_in_several_files_has_an_index_and_is_read_back(tiny: Callable[..., Any], tmp_path: Path) -> None:
    config = tiny("run.tokens=3000", "model.width=256", "model.mlp_width=512", "run.shard_mb=1")
    alone(config)
    folder = next((Path(config.run.out) / "checkpoints").iterdir())
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    assert len(set(index["weight_map"].values())) > 1
    assert open_loop(config, find_rows(config.data, Path(config.run.out), 17), Path(config.run.out)).cursor.tokens == 3072
    rows = find_rows(config.data, Path(config.run.out), 17)
    from slipway_training.pretrain.recipe import remember

    remember(config, rows, Path(config.run.out))
    assert (write_hf(Path(config.run.out), tmp_path / "hf") / "config.json").is_file()
