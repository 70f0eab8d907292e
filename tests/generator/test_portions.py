"""Which part of a step's rows each prompt gets, without a library."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slipway_generator.engines.llamacpp.portions import LOGPROB_ROWS, portions
from slipway_generator.engines.llamacpp.seat import Seated


def waiting(length: int, *, done: int = 0, scored: bool = False, priority: int = 0) -> Seated:
    request = SimpleNamespace(prompt=[1] * length, prompt_logprobs=1 if scored else None, priority=priority)
    return cast("Seated", SimpleNamespace(request=request, done=done, chunk=99))


def shares(reading: list[Seated], room: int, *, apart: bool = True) -> list[int]:
    given = dict[int, int]((id(sequence), rows) for sequence, rows in portions(reading, room, apart=apart))
    return [given.get(id(sequence), 0) for sequence in reading]


def test_prompts_are_read_side_by_side_and_a_short_one_is_through_at_once() -> None:
    assert shares([waiting(300), waiting(300), waiting(300)], 120) == [40, 40, 40]
    assert shares([waiting(1000), waiting(40, done=10), waiting(500)], 120) == [45, 30, 45]
    assert shares([waiting(100, scored=True), waiting(10)], 500) == [LOGPROB_ROWS, 10]
    assert shares([waiting(9), waiting(9), waiting(9)], 2) == [1, 1, 0]
    assert shares([], 10) == [] and shares([waiting(5)], 0) == [0]


def test_the_more_urgent_is_read_first() -> None:
    assert shares([waiting(100, priority=5), waiting(100)], 120) == [20, 100]
    assert shares([waiting(100, priority=5), waiting(200), waiting(200)], 120) == [0, 60, 60]


@pytest.mark.parametrize(("apart", "expected"), [(True, [25, 25, 25, 40]), (False, [25, 26, 25, 40])])
def test_a_single_row_beyond_the_shortest_waits_where_it_would_be_a_pass_of_its_own(apart: bool, expected: list[int]) -> None:
    assert shares([waiting(25), waiting(26), waiting(25), waiting(40)], 512, apart=apart) == expected


def test_a_prompt_of_one_row_holds_nobody_up() -> None:
    assert shares([waiting(1), waiting(2)], 512) == [1, 2]


@given(st.lists(st.tuples(st.integers(1, 80), st.booleans()), max_size=8), st.integers(0, 200), st.booleans())
def test_every_step_reads_something_and_no_more_than_there_is_room(lengths: list[tuple[int, bool]], room: int, apart: bool) -> None:
    reading: list[Any] = [waiting(length, scored=scored) for length, scored in lengths]
    given = shares(reading, room, apart=apart)
    assert sum(given) <= room and all(rows <= length for rows, (length, _) in zip(given, lengths, strict=True))
    assert (sum(given) > 0) == bool(lengths and room)
    assert all(sequence.chunk == 0 for sequence in reading)
