"""Which answers wait for the prompts that came with them, without a library."""

from types import SimpleNamespace
from typing import cast

from slipway_generator.engines.llamacpp.holding import MOST_ROWS, ready
from slipway_generator.engines.llamacpp.seat import Seated


def seat(*, arrived: float, first_token: float | None = None, flowing: bool = False, prompt: int = 100) -> Seated:
    request = SimpleNamespace(prompt=[1] * prompt)
    return cast("Seated", SimpleNamespace(arrived=arrived, first_token=first_token, flowing=flowing, request=request, done=0))


def test_an_answer_waits_after_its_first_word_for_prompts_that_were_being_read_then() -> None:
    young = seat(arrived=1.0, first_token=2.0)
    assert ready([young], [seat(arrived=1.1)]) == []
    assert ready([young], []) == [young]


def test_nobody_who_comes_later_holds_an_answer() -> None:
    young = seat(arrived=1.0, first_token=2.0)
    assert ready([young], [seat(arrived=2.5)]) == [young]


def test_an_answer_that_flows_is_never_held() -> None:
    flowing = seat(arrived=1.0, first_token=2.0, flowing=True)
    assert ready([flowing], [seat(arrived=1.1)]) == [flowing]


def test_long_reading_holds_nobody() -> None:
    young = seat(arrived=1.0, first_token=2.0)
    assert ready([young], [seat(arrived=1.1, prompt=MOST_ROWS + 1)]) == [young]
