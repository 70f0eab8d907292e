"""The loop: the same curve after any number of stops, accumulation that changes nothing, averages, alarms, and a log that says what happened."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from slipway_training.errors import CheckpointError, TrainingError
from slipway_training.pretrain import monitors
from slipway_training.pretrain.loop import Step
from slipway_training.pretrain.recipe import open_loop, run
from slipway_training.pretrain.rows import find_rows

Curve = Callable[[Any], list[list[Any]]]
QUIET = Console(quiet=True)


class Killed(Exception):
    """The process is gone: nothing after this line runs."""


def go(config: Any, die_after: int | None = None) -> None:
    """A run that may end without warning after `die_after` steps."""
    folder = Path(config.run.out)
    folder.mkdir(parents=True, exist_ok=True)
    loop = open_loop(config, find_rows(config.data, folder, config.run.seed), folder)
    first = loop.cursor.step

    def step(seen: Step) -> None:
        if die_after is not None and seen.step - first >= die_after:
            raise Killed

    loop.train(step)


def test_the_curve_after_twenty_kills_is_the_undisturbed_one_bit_for_bit(tiny: Callable[..., Any], curve: Curve) -> None:
    words = ("run.checkpoint_every_steps=1", "run.tokens=40000", "model.layer_drop=0.2", "optim.label_smoothing=0.05")
    whole, broken = tiny(*words, out="whole"), tiny(*words, out="broken")
    go(whole)
    rng, kills = random.Random(5), 0
    while kills < 20:
        try:
            go(broken, die_after=rng.randint(1, 2))
        except Killed:
            kills += 1
        else:
            break
    go(broken)
    assert kills >= 15
    assert curve(whole) == curve(broken)
    assert len(curve(whole)) == 40


def test_a_kill_between_checkpoints_repeats_steps_and_the_log_has_each_once(tiny: Callable[..., Any], curve: Curve) -> None:
    words = ("run.checkpoint_every_steps=6", "optim.optimizer=muon")
    whole, broken = tiny(*words, out="whole"), tiny(*words, out="broken")
    go(whole)
    with pytest.raises(Killed):
        go(broken, die_after=10)
    assert len(curve(broken)) == 10
    go(broken)
    assert curve(whole) == curve(broken)


def test_accumulating_small_batches_is_the_large_batch(tiny: Callable[..., Any], curve: Curve) -> None:
    one, many = (tiny("run.precision=fp32", "run.tokens=5000", f"optim.micro_rows={rows}", out=str(rows)) for rows in (16, 4))
    go(one)
    go(many)
    for left, right in zip(curve(one), curve(many), strict=True):
        assert left[2] == pytest.approx(right[2], rel=1e-5)
        assert left[4] == pytest.approx(right[4], rel=1e-4)


def test_gradient_checkpointing_changes_nothing(tiny: Callable[..., Any], curve: Curve) -> None:
    plain, saving = (tiny("run.precision=fp32", "run.tokens=3000", f"run.gradient_checkpointing={on}", out=on) for on in ("false", "true"))
    go(plain)
    go(saving)
    for left, right in zip(curve(plain), curve(saving), strict=True):
        assert left[2] == pytest.approx(right[2], rel=1e-5)


def test_a_run_learns_reports_and_leaves_a_hugging_face_folder_that_says_the_same(tiny: Callable[..., Any], curve: Curve) -> None:
    from transformers import AutoModelForCausalLM

    config = tiny("run.tokens=60000")
    assert run(config, QUIET)
    folder = Path(config.run.out)
    losses = [line[2] for line in curve(config)]
    assert losses[-1] < losses[0] - 1.5
    report = json.loads((folder / "report.json").read_text())
    assert report["held_out_loss"] < losses[0] - 1.5
    assert (folder / "loss.svg").stat().st_size < 200_000
    assert json.loads((folder / "provenance.json").read_text())[0]["origin"]["licence"] == "Apache-2.0"
    rows = find_rows(config.data, folder, config.run.seed)
    loop = open_loop(config, rows, folder)
    model = AutoModelForCausalLM.from_pretrained(folder / "hf")
    ids = torch.from_numpy(rows.packed.rows(loop.order.held_out)).long()
    with torch.no_grad():
        loss = float(model(input_ids=ids, labels=ids).loss)
    assert loss == pytest.approx(report["held_out_loss"], abs=0.02)  # bf16 beside fp32


def test_a_run_that_diverges_is_stopped_and_says_what_to_do(tiny: Callable[..., Any]) -> None:
    config = tiny("optim.spike=0", "run.tokens=60000")
    rows = find_rows(config.data, Path(config.run.out), config.run.seed)
    loop = open_loop(config, rows, Path(config.run.out))
    with torch.no_grad():
        next(iter(loop.plain.parameters())).fill_(float("nan"))
    with pytest.raises(TrainingError, match="learning_rate"):
        loop.train(lambda _step: None)


def test_another_recipe_does_not_go_on_from_this_ones_checkpoint(tiny: Callable[..., Any]) -> None:
    go(tiny("run.tokens=3000"))
    with pytest.raises(CheckpointError, match="another recipe"):
        go(tiny("run.tokens=3000", "optim.learning_rate=1e-3"))
    go(tiny("run.tokens=5000"))  # how far a run goes may change


def test_spikes_are_told_by_the_recent_median() -> None:
    usual = [1.0] * monitors.ENOUGH
    assert not monitors.is_spike(9.0, usual, 10)
    assert monitors.is_spike(11.0, usual, 10)
    assert not monitors.is_spike(11.0, usual[:-1], 10)
    assert not monitors.is_spike(11.0, usual, 0)
    assert monitors.is_spike(float("nan"), [], 0)


def test_the_noise_scale_is_the_variance_over_the_squared_mean() -> None:
    """Gradients of mean (0.3, 0.4) and unit variance a coordinate: noise 2, signal 0.25, at batches of 10 and 1,000."""
    generator = torch.Generator().manual_seed(3)
    small = [float((torch.tensor([0.3, 0.4]) + torch.randn(2, generator=generator) / 10**0.5).pow(2).sum()) for _ in range(4000)]
    large = [float((torch.tensor([0.3, 0.4]) + torch.randn(2, generator=generator) / 1000**0.5).pow(2).sum()) for _ in range(4000)]
    found = monitors.noise_scale(sum(small) / len(small), 10, sum(large) / len(large), 1000)
    assert found == pytest.approx(2 / 0.25, rel=0.1)
