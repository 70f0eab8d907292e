"""Gradients of a micro-batch by several threads of one process, each with rows of its own and a core of its own.

torch's own way to use several cores splits every operator over a team of threads and joins them after it: thousands of joins a step, and each waits for the
thread that the machine runs last. Here the rows are split and the threads join once a micro-batch. It knows rows, a network and how gradients are added. It
refuses to know optimizers, precision and schedules.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any, Self

import torch
from torch import Tensor, nn

Precision = Callable[[], AbstractContextManager[Any]]


class Lanes:
    """`count` threads that compute gradients of one network while it is entered; one lane is an ordinary backward pass in the calling thread.

    Sums are made in the order of the rows, so a run with a given number of lanes gives the same bits every time. Nothing of the network may draw random
    numbers in its forward pass: the threads share torch's generator.
    """

    def __init__(self, network: nn.Module, count: int, precision: Precision) -> None:
        """`precision` opens the autocast context of a forward pass, which each thread needs for itself."""
        self._network, self._precision, self._count = network, precision, count
        self._parameters = [p for p in network.parameters() if p.requires_grad]
        self._pool: ThreadPoolExecutor | None = None
        self._threads_before = 0

    def __enter__(self) -> Self:
        if self._count > 1:
            # The calling thread goes without a team too: its second thread would spin for a while after every operator, on the core of a lane.
            self._threads_before = torch.get_num_threads()
            torch.set_num_threads(1)
            self._pool = ThreadPoolExecutor(self._count, "lane", initializer=torch.set_num_threads, initargs=(1,))
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None
            torch.set_num_threads(self._threads_before)

    def backward(self, rows: Tensor, share: float) -> Tensor:
        """Add the gradients of `share` times the mean loss of `rows` (n, context + 1) to the parameters' `grad`; the scalar `share` * loss comes back."""
        if self._pool is None:
            with self._precision():
                loss: Tensor = self._network(rows) * share
            loss.backward()
            return loss.detach()
        parts = rows.chunk(self._count)
        tasks = [self._pool.submit(self._gradients, part, share * len(part) / len(rows)) for part in parts]
        total = torch.zeros(())
        for task in tasks:
            loss, gradients = task.result()
            total += loss
            for parameter, gradient in zip(self._parameters, gradients, strict=True):
                if parameter.grad is None:
                    parameter.grad = gradient
                else:
                    parameter.grad += gradient
        return total

    def _gradients(self, rows: Tensor, share: float) -> tuple[Tensor, tuple[Tensor, ...]]:
        with self._precision():
            loss: Tensor = self._network(rows) * share
        return loss.detach(), torch.autograd.grad(loss, self._parameters)


def lanes_for(threads: int, *, alone_on_cpu: bool, random: bool, compiled: bool) -> int:
    """How many lanes a run of `threads` threads gets: one where processes or a GPU share the work, or where threads would share what is not theirs to share.

    Never more than the machine has cores for this process: two lanes on one core only take turns.
    """
    if not alone_on_cpu or random or compiled:
        return 1
    return min(threads, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
