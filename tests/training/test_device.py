"""Streams of batches, made here and by other processes."""

import os
from collections.abc import Iterator
from itertools import islice

from slipway_training.device import streamed


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
