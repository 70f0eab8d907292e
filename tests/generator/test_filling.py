"""Drafts of a full batch: learnt from what steps take and from which guesses come true, without a library; then with it."""

import asyncio
from typing import Any

import numpy as np
from slipway_generator.engine import Delta, GenerateRequest, Sampling
from slipway_generator.engines.drafting import PromptLookup
from slipway_generator.engines.llamacpp.filling import PLAIN_STEPS, REFRESH, Filling
from slipway_generator.engines.llamacpp.seat import Seated
from slipway_generator.engines.sequence import Vocabulary
from slipway_generator.opened import Opened
from slipway_generator.tokenizer import Piece, encode_prompt

PIECES = [bytes([letter]) for letter in range(97, 107)]
REPEATS, VARIES = (1, 2, 3, 4) * 6, tuple(range(9))


def seated(prompt: tuple[int, ...], max_tokens: int = 4000) -> Seated:
    request = GenerateRequest(id="x", prompt=prompt, max_tokens=max_tokens)
    sequence = Seated(request, Vocabulary(PIECES, frozenset()), lambda _sequence, _item: None, lookup=PromptLookup(8))
    sequence.done = sequence.length - 1
    return sequence


def live(filling: Filling, answering: list[Seated], steps: int, *, price: float, right: bool = True) -> list[int]:
    """How many tokens each step drafted. A plain step takes 10 ms, one with drafts the share `price` more for each; what is foretold comes true or does not."""
    drafted, rng = list[int](), np.random.default_rng(7)
    for _ in range(steps):
        for sequence in answering:
            sequence.forget_draft()
        count = filling.propose(answering)
        for sequence in answering:
            token = int(rng.integers(len(PIECES))) if not right else int(sequence.tokens[sequence.length - 4])
            sequence.done += 1
            rows = np.eye(len(PIECES), dtype=np.float32)[[token, *sequence.draft]][: 1 + len(sequence.draft)]
            sequence.take(rows if right else rows[:1])
            sequence.done = sequence.length - 1
        filling.note(len(answering), count, 0.01 * (1 + count * price))
        drafted.append(count)
    return drafted


def test_text_that_repeats_fills_steps_once_their_price_without_is_known() -> None:
    drafted = live(Filling(), [seated(REPEATS) for _ in range(8)], 200, price=0.25)
    assert not any(drafted[:PLAIN_STEPS])
    assert sum(drafted[20:]) > 150
    assert set(drafted) == {0, 1}, "eight sequences have room for one draft each"
    assert 0 in drafted[20 : 20 + 2 * REFRESH], "a plain step renews the comparison"


def test_fewer_sequences_draft_more_for_each() -> None:
    assert max(live(Filling(), [seated(REPEATS) for _ in range(4)], 60, price=0.1)) == 3
    assert not any(live(Filling(), [seated(REPEATS) for _ in range(9)], 60, price=0.1))


def test_where_a_row_costs_what_it_gains_or_guesses_fail_next_to_nothing_is_lost() -> None:
    dear = live(Filling(), [seated(REPEATS) for _ in range(8)], 400, price=1.0)
    assert sum(1 + count for count in dear) / sum(1 + count * 1.0 for count in dear) >= 0.98
    assert sum(live(Filling(), [seated(REPEATS) for _ in range(8)], 200, price=0.25, right=False)[20:]) < 10


def test_a_price_that_was_seen_too_high_once_is_tried_again() -> None:
    filling, answering = Filling(), [seated(REPEATS) for _ in range(8)]
    live(filling, answering, 60, price=0.25)
    for _ in range(5):
        filling.note(8, 1, 10.0)  # an interruption
    assert sum(live(filling, answering, 100, price=0.25)) > 50


def test_who_has_no_guess_is_filled_up_and_not_counted_as_drafted() -> None:
    filling, answering = Filling(), [*(seated(REPEATS) for _ in range(7)), seated(VARIES)]
    for _ in range(PLAIN_STEPS):
        filling.propose(answering)
        filling.note(8, 0, 0.01)
    for sequence in answering:
        sequence.lookup = sequence.lookup or PromptLookup(8)
        sequence.lookup.odds = 0.9
    assert filling.propose(answering) == 1
    assert [len(sequence.draft) for sequence in answering] == [1] * 8
    answering[-1].take(np.eye(len(PIECES), dtype=np.float32)[[0, 0]])
    assert (answering[-1].drafted, answering[-1].accepted, answering[-1].generated) == (0, 0, 1)


def test_the_last_token_of_an_answer_is_never_preceded_by_a_draft() -> None:
    filling, answering = Filling(), [*(seated(REPEATS) for _ in range(7)), seated(REPEATS, max_tokens=1)]
    for _ in range(2 * PLAIN_STEPS):
        assert filling.propose(answering) == 0
        filling.note(8, 0, 0.01)


async def test_a_full_batch_says_with_drafts_what_it_says_without(opening: Any) -> None:
    async with opening(max_sequences=6, speculate=False) as plain, opening(max_sequences=6) as filling:
        fox = filling.tokenizer.encode(" fox")[0]

        def asked(opened: Opened) -> list[GenerateRequest]:
            prompts = [
                encode_prompt(opened.tokenizer, [Piece(f"{word} a b a b a b ")])
                for word in ("fox", "dog", "lazy", "quick", "brown", "jumps")
            ]
            samplings = [Sampling(logit_bias=((fox, 100.0),)), *[Sampling(logit_bias=((2, -100.0), (0, -100.0)))] * 5]
            return [GenerateRequest(id="x", prompt=p, max_tokens=120, sampling=s) for p, s in zip(prompts, samplings, strict=True)]

        async def run(opened: Opened, request: GenerateRequest) -> tuple[tuple[int, ...], Delta]:
            deltas = [delta async for delta in opened.engine.generate(request)]
            return tuple(token for delta in deltas for token in delta.tokens), deltas[-1]

        without = await asyncio.gather(*(run(plain, request) for request in asked(plain)))
        drafted = await asyncio.gather(*(run(filling, request) for request in asked(filling)))
        assert [tokens for tokens, _ in without] == [tokens for tokens, _ in drafted]
        counts = drafted[0][1].counts
        assert counts is not None and counts.accepted <= counts.drafted
