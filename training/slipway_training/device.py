"""Where a tuning run computes, its lower precision there, and the processes that make its batches meanwhile.

It knows devices and processes. It refuses to know models and data.
"""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from itertools import chain
from typing import Any, TypeVar

import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

T = TypeVar("T")
AHEAD = 4
"""Batches that each process has ready before they are asked for."""


def device() -> torch.device:
    """The GPU where torch sees one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def name_of(where: torch.device) -> str:
    """As a card tells it: "CPU", or the GPU's own name."""
    return torch.cuda.get_device_name(where) if where.type == "cuda" else "CPU"


def multiplies_bf16(where: torch.device) -> bool:
    """Whether products in bfloat16 pay there. On a CPU without AVX-512 (most laptops) torch has no kernel for them: a hundred times the time of float32."""
    if where.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def bf16(where: torch.device) -> AbstractContextManager[Any]:
    """bfloat16 products on a device of that kind, half of the time of float32 on AMX; float32 ones where bfloat16 does not pay."""
    return torch.autocast(where.type, torch.bfloat16, enabled=multiplies_bf16(where))


def streamed(make: Callable[[int], Iterator[T]], workers: int) -> Iterator[T]:
    """`make(0)` in this process; or, with workers, the streams of `make(1)` to `make(workers)` taken in turn, each made in a process of its own.

    Either way the order is the same for the same number of workers. `make` is not pickled where the system forks.
    """
    if not workers:
        return make(0)
    loader: Any = DataLoader(
        _Stream(make), batch_size=1, collate_fn=list, num_workers=workers, prefetch_factor=AHEAD, worker_init_fn=_alone
    )
    return chain.from_iterable(loader)


class _Stream(IterableDataset[T]):
    def __init__(self, make: Callable[[int], Iterator[T]]) -> None:
        self._make = make

    def __iter__(self) -> Iterator[T]:
        info = get_worker_info()
        return self._make(0 if info is None else info.id + 1)


def _alone(_worker: int) -> None:
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # each has a core, and the tokenizer's threads did not survive the fork
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # both reach the whole group, and the run itself has a step to end and a checkpoint to write
