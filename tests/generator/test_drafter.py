"""A draft model beside the real library: what it may change (nothing), what it is told when it fails, and what it costs to be refused."""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from slipway_generator.engine import Counts, Delta, GenerateRequest, Sampling
from slipway_generator.engines.llamacpp.speculation import Worth
from slipway_generator.model import StartRefused
from slipway_generator.opened import Opened
from slipway_generator.sampling import Sampler
from slipway_generator.tokenizer import Piece, encode_prompt

NEVER_ENDS = ((2, -100.0), (0, -100.0))
CHANCE = Sampling(temperature=0.9, top_p=0.95, seed=1, seeded=False, logit_bias=NEVER_ENDS)


@pytest.fixture(autouse=True)
def ever_drafting(monkeypatch: pytest.MonkeyPatch) -> None:
    """The drafts of these tests are as large as the model and would soon rest because they do not pay; here they go on, for what they may change."""

    def always(_worth: Worth) -> bool:
        return True

    monkeypatch.setattr(Worth, "allows", always)


async def run(opened: Opened, text: str, sampling: Sampling, tokens: int = 60) -> tuple[tuple[int, ...], Counts]:
    prompt = encode_prompt(opened.tokenizer, [Piece(text)])
    request = GenerateRequest(id="x", prompt=prompt, max_tokens=tokens, sampling=sampling)
    deltas: list[Delta] = [delta async for delta in opened.engine.generate(request)]
    assert deltas[-1].counts is not None
    return tuple(token for delta in deltas for token in delta.tokens), deltas[-1].counts


@pytest.mark.parametrize(
    "sampling", [Sampling(logit_bias=NEVER_ENDS), Sampling(temperature=0.8, seed=5, logit_bias=NEVER_ENDS)], ids=["greedy", "seeded"]
)
async def test_a_draft_model_changes_no_token_whether_it_is_right_or_wrong(
    opening: Any, tiny_model: Path, other_model: Path, sampling: Sampling
) -> None:
    async with (
        opening(speculate=False) as plain,
        opening(draft_model=str(tiny_model)) as right,
        opening(draft_model=str(other_model)) as wrong,
    ):
        for text in ("the quick brown fox", "über naïve café 123"):
            alone = (await run(plain, text, sampling))[0]
            same, counts = await run(right, text, sampling)
            assert same == alone
            assert counts.drafted
            other, failed = await run(wrong, text, sampling)
            assert other == alone
            assert failed.accepted <= counts.accepted
            if sampling.temperature == 0.0:
                assert failed.drafted < counts.drafted  # it rests where it fails


async def test_two_sequences_draft_together_and_three_not_at_all(opening: Any, tiny_model: Path) -> None:
    sampling = Sampling(logit_bias=NEVER_ENDS)
    texts = ("the lazy dog", "small language models", "fox jumps over")
    async with opening(speculate=False) as plain, opening(draft_model=str(tiny_model)) as drafting:
        alone = [(await run(plain, text, sampling))[0] for text in texts]
        two = await asyncio.gather(*(run(drafting, text, sampling) for text in texts[:2]))
        assert [tokens for tokens, _ in two] == alone[:2]
        assert all(counts.accepted for _, counts in two)
        three = await asyncio.gather(*(run(drafting, text, sampling) for text in texts))
        assert [tokens for tokens, _ in three] == alone


async def test_a_right_draft_by_chance_is_always_accepted(opening: Any, tiny_model: Path) -> None:
    async with opening(draft_model=str(tiny_model)) as drafting:
        _, counts = await run(drafting, "slipway serves", CHANCE, tokens=80)
        assert counts.drafted > 20
        assert counts.accepted >= 0.8 * counts.drafted  # lookup drafts among them may fail; the model's own do not


def test_speculative_sampling_draws_what_plain_sampling_draws() -> None:
    """10,000 draws each way over 16 tokens: the total variation stays within what chance explains, at three distances of the draft."""
    rng = np.random.default_rng(2)
    target = (2 * rng.standard_normal(16)).astype(np.float32)
    exact = Sampler(CHANCE, (), 16)._distribution(target)  # pyright: ignore[reportPrivateUsage]
    for distance in (0.0, 1.0, 4.0):
        source = target + (distance * rng.standard_normal(16)).astype(np.float32)
        sampler = Sampler(CHANCE, (), 16)
        kept, drawn = 0, Counter[int]()
        for _ in range(10_000):
            draft, row = sampler.guess(source)
            token = sampler.verify(target, draft, row)
            kept += token == draft
            drawn[token] += 1
        # Tokens outside the nucleus never come.
        assert not {token for token in drawn if exact[token] == 0}
        counted = np.asarray([drawn[token] for token in range(16)])
        held = exact > 0
        statistic = float((((counted - 10_000 * exact) ** 2)[held] / (10_000 * exact[held])).sum())
        assert statistic < 40  # chi-squared, at most 13 degrees of freedom: beyond 40 once in 8,000
        overlap = float(np.minimum(exact, Sampler(CHANCE, (), 16)._distribution(source)).sum())  # pyright: ignore[reportPrivateUsage]
        assert kept / 10_000 == pytest.approx(overlap, abs=0.03)  # the best any draft of this distribution can do


async def test_a_draft_is_verified_and_must_be_of_the_family(opening: Any, tiny_model: Path, tmp_path: Path) -> None:
    changed = tmp_path / "changed"
    changed.mkdir()
    for file in tiny_model.iterdir():
        raw = bytearray(file.read_bytes())
        if file.suffix == ".gguf":
            raw[-1] ^= 1
        (changed / file.name).write_bytes(raw)
    with pytest.raises(StartRefused, match="draft model is refused"):
        async with opening(draft_model=str(changed)):
            pass
    reader = Path(__file__).parents[2] / "models" / "slipway-reader-llama" / "int8"
    with pytest.raises(StartRefused, match="vocabulary"):
        async with opening(draft_model=str(reader)):
            pass
