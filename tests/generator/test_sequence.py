"""What a constraint leaves no choice about: appended without a draw, at most so many tokens a step, and the same text whatever the batch."""

import asyncio
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from slipway_generator.engine import Constraint, Delta, GenerateRequest, Sampling
from slipway_generator.engines.sequence import Sequence, Vocabulary
from slipway_generator.tokenizer import Piece, encode_prompt

PIECES = [b"</s>", *(bytes([letter]) for letter in b"abcdefgh")]
FORMS = ("(yes|no), slipway serves small language models", "no choice at all", "(1|2)(3|4) models on laptops")


class Spells:
    """A mask that allows one word of the letters a to h, and leaves a choice about its first letter only."""

    def __init__(self, rest: str) -> None:
        self._rest = [PIECES.index(letter.encode()) for letter in rest]
        self._at = -1

    def allowed(self) -> NDArray[np.bool_]:
        assert self._at == -1, "a token was drawn where there is no choice"
        return np.array([False] + [True] * 8)

    def accept(self, token: int) -> None:
        assert self._at == -1 or token == self._rest[self._at]
        self._at += 1

    def forced(self) -> list[int]:
        return [] if self._at == -1 else self._rest[self._at :]

    def complete(self) -> bool:
        return self._at == len(self._rest)

    def closed(self) -> bool:
        return self.complete()


def sequence(rest: str) -> Sequence:
    request = GenerateRequest(id="x", prompt=(1, 2), max_tokens=20)
    return Sequence(request, Vocabulary(PIECES, frozenset({0})), lambda _sequence, _item: None, mask=Spells(rest))


def row(token: int) -> NDArray[np.float32]:
    return np.eye(9, dtype=np.float32)[token : token + 1]


def test_forced_tokens_come_in_bursts_and_need_no_logits() -> None:
    one = sequence("bcdefgh")
    said = [one.take(row(1), burst=2)]
    none = np.empty((0, 9), dtype=np.float32)
    while said[-1].finish is None:
        assert not one.draws
        said.append(one.take(none, burst=2))
    assert [delta.text for delta in said] == ["abc", "de", "fg", "h"]
    assert said[-1].finish == "stop"


def test_without_a_burst_a_form_gains_a_token_a_step_as_any_other_answer() -> None:
    one = sequence("bcd")
    said = [one.take(row(1), burst=0)]
    while said[-1].finish is None:
        said.append(one.take(np.empty((0, 9), dtype=np.float32), burst=0))
    assert [delta.text for delta in said] == ["a", "b", "c", "d"]
    assert one.generated == 4
    assert one.tokens[: one.length].tolist() == [1, 2, 1, 2, 3, 4]


async def test_forms_together_say_what_each_says_alone(opening: Any) -> None:
    pytest.importorskip("llguidance", reason="llguidance is not installed")
    async with opening(prefix_entries=0, max_sequences=8) as opened:

        async def run(at: int) -> list[Delta]:
            prompt = encode_prompt(opened.tokenizer, [Piece(f"{at} the quick brown fox")])
            form = Constraint("regex", FORMS[at % len(FORMS)])
            asked = GenerateRequest(id=str(at), prompt=prompt, max_tokens=60, sampling=Sampling(), constraint=form)
            return [delta async for delta in opened.engine.generate(asked)]

        alone = [await run(at) for at in range(8)]
        together = await asyncio.gather(*(run(at) for at in range(8)))
    assert max(len(delta.tokens) for deltas in alone for delta in deltas) > 2, "alone, a form is read in bursts"
    spelled = [["".join(delta.text for delta in deltas) for deltas in answers] for answers in (alone, together)]
    assert spelled[0] == spelled[1]
    assert "no choice at all" in spelled[0]
    assert sum(map(len, together)) > sum(map(len, alone)), "together, more steps of fewer tokens"
