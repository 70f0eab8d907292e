"""What goes wrong around a run: signals, kill -9, damaged files, a full disk, a lost node, a store that stumbles."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from rich.console import Console
from slipway_training.errors import CheckpointError
from slipway_training.pretrain import state
from slipway_training.pretrain.loop import Loop, Step
from slipway_training.pretrain.recipe import open_loop, run
from slipway_training.pretrain.rows import find_rows
from slipway_training.pretrain.upload import WHOLE, Uploader, fetch_newest

Curve = Callable[[Any], list[list[Any]]]
QUIET = Console(quiet=True)


def opened(config: Any) -> Loop:
    folder = Path(config.run.out)
    return open_loop(config, find_rows(config.data, folder, config.run.seed), folder)


def lines(folder: Path) -> int:
    log = folder / "log.jsonl"
    return log.read_text(encoding="utf-8").count("\n") if log.is_file() else 0


def wait_for(what: Callable[[], bool], process: "subprocess.Popen[str]", seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < end
        time.sleep(0.02)


def test_sigterm_checkpoints_and_exits_and_kill_9_loses_at_most_the_step_that_ran(
    tiny: Callable[..., Any], curve: Curve, launch: Callable[..., Any]
) -> None:
    words = ("run.checkpoint_every_steps=1", "run.tokens=60000")
    whole, broken = tiny(*words, out="whole"), tiny(*words, out="broken")
    assert run(whole, QUIET)
    folder = Path(broken.run.out)
    asked = [*words, "data.invented=60", f"run.out={folder}"]
    process = launch(*asked)
    wait_for(lambda: lines(folder) >= 3, process)
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=60)[0]
    assert process.returncode == 75, said
    assert "goes on from here" in said
    stopped = lines(folder)
    assert state.newest(folder / "checkpoints", None)[1].step == stopped
    process = launch(*asked)
    wait_for(lambda: lines(folder) >= stopped + 3, process)
    process.kill()
    process.communicate()
    reached = lines(folder)
    assert reached - state.newest(folder / "checkpoints", None)[1].step <= 1
    assert run(broken, QUIET)
    assert curve(whole) == curve(broken)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_twenty_real_kills_leave_no_trace_in_the_curve(tiny: Callable[..., Any], curve: Curve, launch: Callable[..., Any]) -> None:
    words = ("run.checkpoint_every_steps=1", "run.tokens=150000", "model.layer_drop=0.1")
    whole, broken = tiny(*words, out="whole"), tiny(*words, out="broken")
    assert run(whole, QUIET)
    folder, rng = Path(broken.run.out), random.Random(11)
    for number in range(20):
        before = lines(folder)
        process = launch(*words, "data.invented=60", f"run.out={folder}")
        wanted = before + rng.randint(1, 6)
        wait_for(lambda wanted=wanted: lines(folder) >= wanted, process)
        process.send_signal(signal.SIGKILL if number % 2 else signal.SIGTERM)
        process.communicate()
    assert run(broken, QUIET)
    assert curve(whole) == curve(broken)


def test_a_damaged_checkpoint_is_passed_over_and_said(tiny: Callable[..., Any]) -> None:
    config = tiny("run.checkpoint_every_steps=5", "run.keep_checkpoints=3", "run.tokens=15000")
    opened(config).train(lambda _step: None)
    checkpoints = sorted((Path(config.run.out) / "checkpoints").glob("step-*"))
    weights = checkpoints[-1] / "model.safetensors"
    raw = bytearray(weights.read_bytes())
    raw[-7] ^= 1  # one bit of one weight: only a digest tells
    weights.write_bytes(raw)
    (checkpoints[-2] / "cursor.json").write_text("{", encoding="utf-8")
    loop = opened(config)
    assert loop.cursor.step == int(checkpoints[-3].name.removeprefix("step-"))
    assert [note.split()[0] for note in loop.notes] == [checkpoints[-1].name, checkpoints[-2].name]
    assert "model.safetensors" in loop.notes[0]


FULL = """
import resource, sys
from pathlib import Path
from slipway_training.config import load_typed
from slipway_training.errors import CheckpointError
from slipway_training.pretrain.config import PretrainConfig
from slipway_training.pretrain.recipe import open_loop
from slipway_training.pretrain.rows import find_rows
from slipway_training.recipes import FOLDER
out = Path(sys.argv[1])
config = load_typed(PretrainConfig, FOLDER / "pretrain" / "config.tiny.yaml",
                    ["data.invented=60", "run.tokens=16000", "run.checkpoint_every_steps=4", f"run.out={out}"])
loop = open_loop(config, find_rows(config.data, out, config.run.seed), out)
def step(seen):
    if seen.step == 5:  # from here on no file may grow past 100 kB: the disk is full for weights, not for the log
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
try:
    loop.train(step)
except CheckpointError as error:
    print("told:", error)
print("noted:", loop.notes)
"""


def test_a_full_disk_costs_checkpoints_and_not_the_run_and_the_last_good_one_stays(tiny: Callable[..., Any]) -> None:
    config = tiny("run.tokens=16000", "run.checkpoint_every_steps=4")
    folder = Path(config.run.out)
    done = subprocess.run([sys.executable, "-c", FULL, str(folder)], capture_output=True, text=True, timeout=120, check=False)
    assert "told:" in done.stdout, done.stdout + done.stderr
    assert "free some room" in done.stdout
    assert "the checkpoint before is kept" in done.stdout
    assert [path.name for path in (folder / "checkpoints").iterdir()] == ["step-00000004"]
    assert lines(folder) == 16
    assert run(config, QUIET)  # there is room again


class NodeLost(Exception):
    """The machine is gone, with its disk."""


def lose_node(step: Step) -> None:
    if step.step == 10:
        raise NodeLost


def test_a_lost_node_goes_on_from_the_store(tiny: Callable[..., Any], curve: Curve, tmp_path: Path) -> None:
    words = ("run.checkpoint_every_steps=4", "run.tokens=16000")
    whole = tiny(*words, out="whole")
    opened(whole).train(lambda _step: None)
    first = opened(tiny(*words, f"run.upload_to=file://{tmp_path}/store", out="first"))
    with pytest.raises(NodeLost):
        first.train(lose_node)
    assert first.uploader is not None
    assert first.uploader.close() == []
    assert not (tmp_path / "first" / ".upload").exists()
    second = tiny(*words, f"run.upload_to=file://{tmp_path}/store", out="second")
    loop = opened(second)
    assert loop.cursor.step == 8
    loop.train(lambda _step: None)
    assert [line[2] for line in curve(whole)][8:] == [line[2] for line in curve(second)]


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A moto server: the S3 protocol on loopback."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    address = "http://{}:{}".format(*server.get_host_and_port())
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1", "AWS_ENDPOINT_URL": address,
        "AWS_ENDPOINT_URL_S3": address,
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    fsspec.filesystem("s3").mkdir("runs")
    yield "s3://runs/base"
    fsspec.filesystem("s3").clear_instance_cache()
    server.stop()


def test_uploads_reach_s3_whole_and_one_that_was_cut_off_is_not_taken(s3: str, tmp_path: Path) -> None:
    held = tmp_path / "step-00000001"
    held.mkdir()
    (held / "model.safetensors").write_bytes(os.urandom(300_000))
    uploader = Uploader(s3, tmp_path / "aside")
    uploader.send(held)
    assert uploader.close() == []
    fsspec.filesystem("s3").pipe_file("runs/base/step-00000002/model.safetensors", b"half")  # no mark: the sender died
    (tmp_path / "new").mkdir()
    assert fetch_newest(s3, tmp_path / "new") == "step-00000001"
    got = tmp_path / "new" / "step-00000001"
    assert (got / "model.safetensors").read_bytes() == (held / "model.safetensors").read_bytes()
    assert not (got / WHOLE).exists()


class Stumbling:
    """A store whose first writes fail."""

    def __init__(self, failures: int) -> None:
        self.failures, self.written = failures, list[str]()

    def makedirs(self, _folder: str, exist_ok: bool) -> None:
        assert exist_ok

    def put_file(self, source: str, target: str) -> None:
        if self.failures:
            self.failures -= 1
            raise ConnectionError("the store hung up")
        self.written.append(f"{target} {json.loads(Path(source).read_text())}")

    def pipe_file(self, target: str, _data: bytes) -> None:
        self.written.append(target)


def test_a_store_that_stumbles_is_tried_again_and_one_that_stays_away_is_said(tmp_path: Path) -> None:
    held = tmp_path / "step-00000001"
    held.mkdir()
    (held / "cursor.json").write_text("1")
    for failures, notes in ((2, 0), (99, 1)):
        uploader = Uploader(f"file://{tmp_path}/store", tmp_path / "aside")
        store = Stumbling(failures)
        uploader.store = store
        uploader.send(held)
        said = uploader.close()
        assert len(said) == notes
        assert len(store.written) == (0 if notes else 2)
    assert "step-00000001 was not uploaded: the store hung up" in said[0]


def test_an_address_of_no_store_is_told_before_training(tiny: Callable[..., Any]) -> None:
    with pytest.raises(CheckpointError, match="upload_to"):
        opened(tiny("run.upload_to=nowhere://x"))
