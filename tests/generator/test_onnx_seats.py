"""Who sits where in the ONNX engine: nobody takes the place of somebody else, and who knows its prompt or cannot share a batch sits alone."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import structlog
from slipway_generator.engine import GenerateRequest
from slipway_generator.engines.huggingface import HubTokenizer
from slipway_generator.engines.onnx.native import Native
from slipway_generator.engines.onnx.scheduler import Limits, Scheduler
from slipway_generator.engines.sequence import Sequence, Vocabulary

FOLDER = Path(__file__).parents[2] / "models" / "slipway-reader-llama" / "int4-onnx"
KNOWN = tuple(range(100, 140))


@pytest.fixture(scope="module")
def native() -> Native:
    pytest.importorskip("onnxruntime_genai", reason="onnxruntime-genai is not installed")
    return Native(FOLDER, 1024, 1)


@pytest.fixture
def scheduling(native: Native) -> Iterator[Callable[..., Any]]:
    """A scheduler whose thread never runs: the test alone moves sequences, as many as wait at one moment on a busy machine."""
    made: list[Any] = []

    def make(together: int) -> Any:
        made.append(Scheduler(native, Limits(8, 8, together, 0.0), lambda: None, structlog.get_logger()))
        place = made[-1]._places[2]
        place.native.append(np.array(KNOWN, dtype=np.int32))
        place.held, place.salt = np.array(KNOWN, dtype=np.int32), ("local", None)
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture(scope="module")
def vocabulary(native: Native) -> Vocabulary:
    return Vocabulary(HubTokenizer(FOLDER).pieces, native.ends)


def sequence(vocabulary: Vocabulary, prompt: tuple[int, ...], tokens: int = 8, **fields: Any) -> Sequence:
    request = GenerateRequest(id="r", prompt=prompt, max_tokens=tokens, **fields)
    return Sequence(request, vocabulary, lambda _sequence, _item: None)


def seat(scheduler: Any, waiting: list[Sequence]) -> None:
    for one in waiting:
        scheduler.submit(one)
    scheduler._seat()


def alone(scheduler: Any) -> list[Sequence | None]:
    return [place.sequence for place in scheduler._places]


def together(scheduler: Any) -> list[list[Sequence]]:
    return [list(batch.live.values()) for batch in scheduler._batches]


def test_a_sequence_that_knows_a_place_further_back_is_not_overwritten_by_those_behind_it(
    scheduling: Callable[..., Any], vocabulary: Vocabulary
) -> None:
    scheduler = scheduling(1)
    waiting = [sequence(vocabulary, (*KNOWN, 7)), *(sequence(vocabulary, (number, number + 1)) for number in (200, 210, 220))]
    seat(scheduler, waiting)
    assert set(map(id, alone(scheduler))) == set(map(id, waiting))
    assert alone(scheduler)[2] is waiting[0]
    assert waiting[0].shared == len(KNOWN)


def test_who_knows_its_prompt_sits_alone_and_the_others_share_a_batch(scheduling: Callable[..., Any], vocabulary: Vocabulary) -> None:
    scheduler = scheduling(4)
    knowing = sequence(vocabulary, (*KNOWN, 7))
    others = [sequence(vocabulary, (number, number + 1)) for number in (200, 210, 220)]
    seat(scheduler, [others[0], knowing, *others[1:]])
    assert together(scheduler) == [others]
    assert alone(scheduler) == [None, None, knowing, None]
    assert knowing.shared == len(KNOWN)


def test_what_a_batch_cannot_do_is_done_alone(scheduling: Callable[..., Any], vocabulary: Vocabulary) -> None:
    scheduler = scheduling(4)
    scored = sequence(vocabulary, (200, 201), prompt_logprobs=0)
    padded = sequence(vocabulary, (200, scheduler._native.filling[0], 201))
    nothing = sequence(vocabulary, (200, 201), tokens=0)
    plain = sequence(vocabulary, (210, 211))
    seat(scheduler, [scored, padded, nothing, plain])
    assert together(scheduler) == []
    assert set(map(id, alone(scheduler))) == set(map(id, (scored, padded, nothing, plain)))


def test_prompts_of_unlike_length_are_not_padded_to_the_longest(scheduling: Callable[..., Any], vocabulary: Vocabulary) -> None:
    scheduler = scheduling(4)
    long = [sequence(vocabulary, tuple(range(200, 200 + size))) for size in (500, 450)]
    short = [sequence(vocabulary, (number, number + 1)) for number in (210, 220)]
    seat(scheduler, [long[0], short[0], long[1], short[1]])
    assert together(scheduler) == [long, short]


def test_no_more_are_seated_than_there_are_seats_and_the_urgent_first(scheduling: Callable[..., Any], vocabulary: Vocabulary) -> None:
    scheduler = scheduling(2)
    waiting = [sequence(vocabulary, (number, number + 1), priority=number) for number in (260, 250, 240, 230, 220, 210)]
    seat(scheduler, waiting)
    assert together(scheduler) == [[waiting[5], waiting[4]], [waiting[3], waiting[2]]]
    assert scheduler._waiting == [waiting[1], waiting[0]]
    assert scheduler.load().running == 4


def test_who_leaves_before_the_first_step_does_not_break_the_batch(scheduling: Callable[..., Any], vocabulary: Vocabulary) -> None:
    scheduler = scheduling(4)
    waiting = [sequence(vocabulary, (number, number + 1, number + 2)) for number in (200, 210)]
    seat(scheduler, waiting)
    (batch,) = scheduler._batches
    waiting[0].cancelled = True
    scheduler._turn_together(batch)
    assert list(batch.live.values()) == [waiting[1]]
    assert waiting[1].generated == 1
