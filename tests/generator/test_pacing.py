"""Words that come together and leave evenly, on a real event loop."""

import asyncio
import time
from typing import Any

from slipway_generator.engine import Counts, Delta, TokenLogprob
from slipway_generator.engines.pacing import Pacing, split

STEP = 0.08


class Reader:
    """Notes what it is given, for whom and when."""

    def __init__(self) -> None:
        self.got: list[tuple[str, Any, float]] = []
        self._began = time.monotonic()

    def put(self, to: str, item: Delta | Exception) -> None:
        self.got.append((to, item.text if isinstance(item, Delta) else item, time.monotonic() - self._began))

    @property
    def texts(self) -> list[Any]:
        return [text for _, text, _ in self.got]


def lump(*pieces: str, places: int | None = None) -> Delta:
    return Delta("".join(pieces), tuple(range(len(pieces))), places=places or len(pieces), pieces=pieces)


async def test_words_of_one_step_are_spread_over_the_time_of_a_step_in_their_order() -> None:
    reader = Reader()
    pacing = Pacing[str](reader.put)
    pacing.take([("a", lump("one", " two", " three", " four")), ("b", lump("un", " deux"))], STEP)
    assert reader.texts == ["one", "un"], "the first of each goes at once"
    await asyncio.sleep(2 * STEP)
    assert [text for to, text, _ in reader.got if to == "a"] == ["one", " two", " three", " four"]
    assert [text for to, text, _ in reader.got if to == "b"] == ["un", " deux"]
    waited = {text: at for _, text, at in reader.got}
    assert waited[" two"] <= waited[" deux"] <= waited[" four"]
    assert waited[" four"] >= STEP * 3 / 4 - 0.002


async def test_what_is_left_goes_before_the_next_words_and_the_last_words_go_at_once() -> None:
    reader = Reader()
    pacing = Pacing[str](reader.put)
    pacing.take([("a", lump("one", " two", " three"))], 10.0)
    last = Delta(" four five", (3, 4), finish="stop", counts=Counts(1, 5))
    pacing.take([("a", last), ("b", ValueError("broken"))], 10.0)
    assert reader.texts[:4] == ["one", " two", " three", " four five"]
    assert isinstance(reader.texts[4], ValueError)
    await asyncio.sleep(0.05)
    assert len(reader.got) == 5


async def test_one_word_where_two_could_have_come_waits_for_the_middle_of_its_time() -> None:
    reader = Reader()
    pacing = Pacing[str](reader.put)
    pacing.take([("a", lump("one", places=2))], STEP)
    assert not reader.got
    await asyncio.sleep(STEP)
    assert reader.texts == ["one"]
    assert reader.got[0][2] >= STEP / 4 - 0.002


async def test_without_pacing_a_lump_stays_one() -> None:
    reader = Reader()
    Pacing[str](reader.put).take([("a", lump("one", " two"))], 0.0)
    assert reader.texts == ["one two"]


def test_the_parts_of_a_delta_are_the_delta_and_tokens_without_text_go_with_the_next() -> None:
    scores = tuple(TokenLogprob(at, -float(at)) for at in range(4))
    delta = Delta("ab", (5, 6, 7, 8), scores, prompt_logprobs=(None,), places=4, pieces=("", "a", "", "b"))
    parts = [part for _, part in split(delta)]
    assert [(part.text, part.tokens) for part in parts] == [("a", (5, 6)), ("b", (7, 8))]
    assert tuple(score for part in parts for score in part.logprobs) == scores
    assert [part.prompt_logprobs for part in parts] == [(None,), None]
