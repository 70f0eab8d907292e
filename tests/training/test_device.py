"""Where training computes: the precision that pays there, and streams of batches, made here and by other processes."""

import os
from collections.abc import Callable, Iterator
from itertools import islice

import pytest
import torch
from slipway_training.device import bf16, streamed
from slipway_training.pretrain import speed
from slipway_training.pretrain.config import PretrainConfig


def numbers(worker: int) -> Iterator[tuple[int, int, int]]:
    for number in range(50):
        yield worker, number, os.getpid()


def test_without_workers_the_stream_is_made_here() -> None:
    assert list(islice(streamed(numbers, 0), 2)) == [(0, 0, os.getpid()), (0, 1, os.getpid())]


def test_workers_take_turns_in_processes_of_their_own() -> None:
    made = list(islice(streamed(numbers, 2), 6))
    assert [(worker, number) for worker, number, _ in made] == [(1, 0), (2, 0), (1, 1), (2, 1), (1, 2), (2, 2)]
    assert len({pid for *_, pid in made} | {os.getpid()}) == 3


def test_a_stream_that_ends_ends_for_all_its_workers() -> None:
    assert len(list(streamed(numbers, 2))) == 100


def test_bfloat16_is_taken_where_the_processor_has_kernels_for_it() -> None:
    """On a CPU without AVX-512 a product in bfloat16 takes a hundred times as long as one in float32."""
    supported = bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    weights = torch.ones(4, 4)
    with bf16(torch.device("cpu")):
        assert (weights @ weights).dtype == (torch.bfloat16 if supported else torch.float32)


@pytest.mark.parametrize("supported", [True, False])
def test_automatic_precision_is_named_before_numbers_depend_on_it(supported: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "multiplies_bf16", _says(supported))
    config, cpu = PretrainConfig.model_validate({"data": {"invented": 8}}), torch.device("cpu")
    assert config.run.precision == "auto"
    assert speed.with_precision(config, cpu).run.precision == ("bf16" if supported else "fp32")
    asked = config.model_copy(update={"run": config.run.model_copy(update={"precision": "bf16"})})
    assert speed.with_precision(asked, cpu).run.precision == "bf16"


def _says(supported: bool) -> Callable[[torch.device], bool]:
    return lambda _where: supported
