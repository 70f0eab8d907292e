"""Lanes: several threads give the gradients that one gives, the same bits every time, and a run of several lanes goes on after a kill bit for bit."""

import threading
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from slipway_training.pretrain.config import ModelConfig
from slipway_training.pretrain.lanes import Lanes, lanes_for
from slipway_training.pretrain.model import build
from slipway_training.pretrain.monitors import ActivationMeter
from slipway_training.pretrain.network import Network
from slipway_training.pretrain.recipe import open_loop
from slipway_training.pretrain.rows import find_rows

Curve = Callable[[Any], list[list[Any]]]
SHAPE = ModelConfig(width=32, layers=2, heads=4, kv_heads=2, mlp_width=64)


def gradients(lanes: int, rows: torch.Tensor) -> tuple[float, list[torch.Tensor], list[float]]:
    """(loss, gradients, sizes of the layers' outputs) of two micro-batches."""
    network = Network(build(SHAPE, 64, rows.shape[1] - 1, 0, 0, seed=5))
    meter = ActivationMeter(network.llama.model.layers)
    meter.on = True
    with Lanes(network, lanes, nullcontext) as team:
        loss = float(team.backward(rows, 0.5) + team.backward(rows.flip(0), 0.5))
    return loss, [p.grad for p in network.parameters() if p.grad is not None], meter.take()


@pytest.mark.parametrize("count", [1, 5, 8])
def test_two_lanes_give_what_one_gives(count: int) -> None:
    rows = torch.randint(0, 64, (count, 33), generator=torch.Generator().manual_seed(1))
    one, two = gradients(1, rows), gradients(2, rows)
    assert two[0] == pytest.approx(one[0], rel=1e-6)
    assert two[2] == pytest.approx(one[2], rel=1e-5)
    assert len(two[1]) == len(one[1]) > 10
    for left, right in zip(one[1], two[1], strict=True):
        assert torch.allclose(left, right, atol=1e-6)


def test_lanes_give_the_same_bits_every_time() -> None:
    rows = torch.randint(0, 64, (9, 65), generator=torch.Generator().manual_seed(2))
    first = gradients(3, rows)
    for _ in range(4):
        loss, found, sizes = gradients(3, rows)
        assert (loss, sizes) == (first[0], first[2])
        assert all(torch.equal(left, right) for left, right in zip(found, first[1], strict=True))


def test_an_error_in_a_lane_is_raised_and_the_threads_end() -> None:
    network = Network(build(SHAPE, 64, 16, 0, 0, seed=5))
    with pytest.raises(IndexError), Lanes(network, 2, nullcontext) as team:
        team.backward(torch.full((4, 17), 64), 1.0)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("lane")]


def test_a_run_of_two_lanes_goes_on_after_a_stop_bit_for_bit(tiny: Callable[..., Any], curve: Curve) -> None:
    if lanes_for(2, alone_on_cpu=True, random=False, compiled=False) < 2:
        pytest.skip("this process may use one core only")
    words = ("run.threads=2", "run.checkpoint_every_steps=1", "run.tokens=8000")
    whole, stopped = tiny(*words, out="whole"), tiny(*words, out="stopped")
    for config, ends in ((whole, [None]), (stopped, [3, 1, None])):
        for end in ends:
            folder = Path(config.run.out)
            folder.mkdir(parents=True, exist_ok=True)
            loop = open_loop(config, find_rows(config.data, folder, config.run.seed), folder)
            first = loop.cursor.step

            def step(seen: Any, end: int | None = end, first: int = first) -> None:
                if end is not None and seen.step - first >= end:
                    raise InterruptedError

            if end is None:
                loop.train(step)
            else:
                with pytest.raises(InterruptedError):
                    loop.train(step)
    assert curve(whole) == curve(stopped)


def test_threads_are_lanes_only_where_nothing_is_shared_that_must_not_be() -> None:
    assert lanes_for(1, alone_on_cpu=True, random=False, compiled=False) == 1
    assert lanes_for(4, alone_on_cpu=False, random=False, compiled=False) == 1
    assert lanes_for(4, alone_on_cpu=True, random=True, compiled=False) == 1
    assert lanes_for(4, alone_on_cpu=True, random=False, compiled=True) == 1


def test_the_calling_thread_has_no_team_of_its_own_while_lanes_run() -> None:
    network, before = Network(build(SHAPE, 64, 16, 0, 0, seed=5)), torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with Lanes(network, 2, nullcontext):
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
        with Lanes(network, 1, nullcontext):
            assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
