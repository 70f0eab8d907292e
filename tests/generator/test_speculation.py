"""Whether a draft model pays is measured: the arithmetic, and a draft that is always right but slower than the model that it drafts for."""

from pathlib import Path

import pytest
import structlog
from slipway_generator.bench.cases import prose
from slipway_generator.bench.fixture import write_fixture
from slipway_generator.engine import GenerateRequest, Sampling
from slipway_generator.engines.choice import open_model
from slipway_generator.engines.llamacpp.speculation import LONGEST_REST, PLAIN_STEPS, REFRESH, REST, TRIAL_STEPS, Rate, Worth
from slipway_generator.model import identify
from slipway_generator.settings import Settings
from slipway_generator.tokenizer import Piece, encode_prompt


def live(worth: Worth, steps: int, *, drafted: float, gained: int) -> list[bool]:
    """`steps` steps: 10 ms and a token without drafts, `drafted` seconds and `gained` tokens with them. Which were drafted."""
    kinds: list[bool] = []
    for _ in range(steps):
        kinds.append(worth.allows())
        if worth.note(drafted=kinds[-1], seconds=drafted if kinds[-1] else 0.01, tokens=gained if kinds[-1] else 1):
            worth.forget()
    return kinds


def test_a_rate_forgets_what_was_long_ago() -> None:
    rate = Rate()
    for _ in range(300):
        rate.add(0.1, 1)
    for _ in range(300):
        rate.add(0.1, 5)
    assert rate.value == pytest.approx(50, rel=0.01)
    assert rate.steps == 600


def test_drafts_that_pay_go_on_beside_a_plain_step_now_and_then() -> None:
    kinds = live(Worth(), 1000, drafted=0.03, gained=5)
    assert not any(kinds[:PLAIN_STEPS])
    assert kinds[PLAIN_STEPS : PLAIN_STEPS + REFRESH - 1] == [True] * (REFRESH - 1)
    assert kinds.count(False) == PLAIN_STEPS + (1000 - PLAIN_STEPS) // REFRESH


def test_drafts_that_are_right_but_slow_rest_for_ever_longer() -> None:
    worth = Worth()
    kinds = live(worth, 20_000, drafted=0.06, gained=5)
    first = PLAIN_STEPS + TRIAL_STEPS
    assert kinds[:first] == [False] * PLAIN_STEPS + [True] * TRIAL_STEPS
    assert not any(kinds[first : first + REST])
    assert all(kinds[first + REST : first + REST + TRIAL_STEPS])
    assert kinds.count(True) < 0.01 * len(kinds)
    # Another text is easier to draft: the next trial finds it, and a later failure rests as briefly as the first.
    assert sum(live(worth, LONGEST_REST + 100, drafted=0.02, gained=5)) > 90
    assert TRIAL_STEPS < sum(live(worth, REST + 2 * TRIAL_STEPS + 40, drafted=0.5, gained=1)) < 2 * TRIAL_STEPS


async def test_a_right_draft_that_is_slower_than_the_model_is_turned_off_and_changes_no_token(tmp_path: Path) -> None:
    """Both models copy what followed the last two tokens before; the draft has twelve layers where the model has two."""
    pytest.importorskip("llama_cpp", reason="llama.cpp is not installed")
    for name, layers in (("fast", 2), ("slow", 12)):
        write_fixture(tmp_path / name, copies=True, layers=layers)
    said: list[tuple[int, ...]] = []
    for draft in (None, str(tmp_path / "slow")):
        settings = Settings(model=str(tmp_path / "fast"), threads=1, context_tokens=512, draft_model=draft, prompt_lookup=False)
        opened = await open_model(identify(settings), settings, structlog.get_logger())
        prompt = encode_prompt(opened.tokenizer, [Piece(prose(60, seed=4))])
        request = GenerateRequest(id="x", prompt=prompt, max_tokens=300, sampling=Sampling(logit_bias=((2, -100.0),)))
        try:
            deltas = [delta async for delta in opened.engine.generate(request)]
        finally:
            await opened.engine.aclose()
        said.append(tuple(token for delta in deltas for token in delta.tokens))
        counts = deltas[-1].counts
        assert counts is not None
        if draft:
            # Nearly every draft was right, and yet only the trial was drafted.
            assert 0.9 * counts.drafted <= counts.accepted
            assert TRIAL_STEPS <= counts.drafted <= TRIAL_STEPS * settings.draft_tokens
    assert said[0] == said[1]
    assert len(said[0]) == 300
