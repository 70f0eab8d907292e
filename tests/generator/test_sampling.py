"""The sampler against distributions that can be worked out by hand."""

from collections import Counter

import numpy as np
import pytest
from slipway_generator.engine import Sampling
from slipway_generator.sampling import Row, Sampler, logprobs, softmax

LOGITS = np.log(np.asarray([0.5, 0.25, 0.15, 0.07, 0.03], dtype=np.float32))


def drawn(
    sampling: Sampling, logits: Row = LOGITS, count: int = 4000, allowed: "np.ndarray[tuple[int], np.dtype[np.bool_]] | None" = None
) -> Counter[int]:
    sampler = Sampler(sampling, (), len(logits))
    return Counter(sampler.pick(logits, allowed) for _ in range(count))


def test_temperature_one_draws_from_the_models_distribution() -> None:
    counts = drawn(Sampling(temperature=1.0, seed=1))
    for token, probability in enumerate(softmax(LOGITS)):
        assert counts[token] / 4000 == pytest.approx(probability, abs=0.025)


@pytest.mark.parametrize(
    ("sampling", "tokens"),
    [
        (Sampling(temperature=1.0, top_k=2, seed=1), {0, 1}),
        (Sampling(temperature=1.0, top_p=0.75, seed=1), {0, 1}),
        (Sampling(temperature=1.0, top_p=0.76, seed=1), {0, 1, 2}),
        (Sampling(temperature=1.0, min_p=0.29, seed=1), {0, 1, 2}),
        (Sampling(temperature=2.0, top_p=1e-9, seed=1), {0}),
        (Sampling(temperature=0.0, logit_bias=((4, 50.0),)), {4}),
        (Sampling(temperature=1.0, logit_bias=((0, -100.0), (1, -100.0)), seed=1), {2, 3, 4}),
    ],
)
def test_cutoffs_leave_exactly_the_right_tokens(sampling: Sampling, tokens: set[int]) -> None:
    assert set(drawn(sampling)) == tokens


def test_top_p_is_exact_over_a_large_vocabulary() -> None:
    flat = np.zeros(5000, dtype=np.float32)
    assert len(drawn(Sampling(temperature=1.0, top_p=0.9, seed=2), flat, 20_000)) > 4000


def test_a_seed_repeats_its_draws_and_one_number_is_used_a_token() -> None:
    def sequence(seed: int) -> list[int]:
        sampler = Sampler(Sampling(temperature=1.0, seed=seed), (), len(LOGITS))
        return [sampler.pick(LOGITS) for _ in range(50)]

    assert sequence(7) == sequence(7)
    assert sequence(7) != sequence(8)


def test_penalties_count_what_they_say() -> None:
    presence = Sampler(Sampling(presence_penalty=2.0), (0, 0), len(LOGITS))
    assert presence.pick(LOGITS) == 0  # the prompt does not count
    presence.accept(0)
    assert presence.pick(LOGITS) == 1
    frequency = Sampler(Sampling(frequency_penalty=0.5), (), len(LOGITS))
    frequency.accept(0)
    assert frequency.pick(LOGITS) == 0  # log 0.5 - 0.5 is still above log 0.25
    frequency.accept(0)
    assert frequency.pick(LOGITS) == 1
    assert Sampler(Sampling(repetition_penalty=1.5), (0,), len(LOGITS)).pick(LOGITS) == 0  # 1.5 log 0.5 is still above log 0.25
    assert Sampler(Sampling(repetition_penalty=3.0), (0,), len(LOGITS)).pick(LOGITS) == 1
    positive = LOGITS + 10
    assert Sampler(Sampling(repetition_penalty=2.0), (0,), len(LOGITS)).pick(positive) == 1


def test_a_mask_is_obeyed_whatever_the_temperature_and_the_logits_stay_as_they_were() -> None:
    allowed = np.asarray([False, False, True, False, True])
    before = LOGITS.copy()
    assert set(drawn(Sampling(temperature=1.5, seed=3), allowed=allowed)) == {2, 4}
    assert set(drawn(Sampling(), allowed=allowed)) == {2}
    assert set(drawn(Sampling(temperature=1.0, seed=1, logit_bias=((0, 100.0),)), allowed=allowed)) == {2, 4}
    assert np.array_equal(before, LOGITS)


def test_logprobs_are_of_the_models_own_distribution() -> None:
    found = logprobs(LOGITS, 2, 3)
    assert found.logprob == pytest.approx(np.log(0.15), abs=1e-5)
    assert [token for token, _ in found.top] == [0, 1, 2]
    assert [value for _, value in found.top] == pytest.approx(np.log([0.5, 0.25, 0.15]), abs=1e-5)
    assert logprobs(LOGITS, 0, 0).top == ()
    assert len(logprobs(LOGITS, 0, 20).top) == 5
