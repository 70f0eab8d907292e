"""Whether a draft model pays is measured: the arithmetic, and a draft that is always right but slower than the model that it drafts for."""

from pathlib import Path

import pytest
import structlog
from slipway_generator.bench.cases import prose
from slipway_generator.bench.fixture import write_fixture
from slipway_generator.engine import GenerateRequest, Sampling
from slipway_generator.engines.choice import open_model
from slipway_generator.engines.llamacpp.speculation import LOSS, PATIENCE, PLAIN_STEPS, REFRESH, Rate, Worth
from slipway_generator.model import identify
from slipway_generator.settings import Settings
from slipway_generator.tokenizer import Piece, encode_prompt


def live(worth: Worth, steps: int, *, drafted: float, gained: int) -> list[bool]:
    """`steps` steps: 10 ms and a token without drafts, `drafted` seconds and `gained` tokens with them. Which were drafted."""
    kinds: list[bool] = []
    for _ in range(steps):
        kinds.append(worth.allows())
        worth.note(drafted=kinds[-1], seconds=drafted if kinds[-1] else 0.01, tokens=gained if kinds[-1] else 1)
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
    kinds = live(Worth(1), 1000, drafted=0.03, gained=5)
    assert not any(kinds[:PLAIN_STEPS])
    assert kinds[PLAIN_STEPS : PLAIN_STEPS + REFRESH - 1] == [True] * (REFRESH - 1)
    assert kinds.count(False) == PLAIN_STEPS + (1000 - PLAIN_STEPS) // REFRESH


@pytest.mark.parametrize(
    ("drafted", "gained"), [(0.06, 5), (0.40, 1), (0.011, 1)], ids=["right but slow", "wrong and very slow", "hardly slower"]
)
def test_where_drafts_do_not_pay_they_cost_next_to_nothing(drafted: float, gained: int) -> None:
    kinds = live(Worth(1), 20_000, drafted=drafted, gained=gained)
    assert any(kinds)
    seconds = sum(drafted if kind else 0.01 for kind in kinds)
    tokens = sum(gained if kind else 1 for kind in kinds)
    assert tokens / seconds > (
        97 if drafted < 0.1 else 90
    )  # of 100 plain ones; a single step of 40 plain ones is taken for an interruption at first


def test_an_interruption_does_not_end_what_pays_and_a_trial_follows_every_rest() -> None:
    worth = Worth(1)
    live(worth, 100, drafted=0.03, gained=5)
    assert not worth.note(drafted=True, seconds=2.0, tokens=5)
    assert sum(live(worth, 64, drafted=0.03, gained=5)) >= 62
    live(worth, 40, drafted=0.06, gained=5)
    assert not worth.allows()
    # Another text is easier to draft: it is found after the rest, whose length follows from what was lost.
    kinds = live(worth, 2000, drafted=0.03, gained=5)
    assert PATIENCE * LOSS - 40 <= kinds.index(True) <= PATIENCE * (LOSS + 8)
    assert sum(kinds[kinds.index(True) :]) > 0.9 * (2000 - kinds.index(True))


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
            # Nearly every draft was right, and yet drafting ended soon.
            assert 0.9 * counts.drafted <= counts.accepted
            assert 0 < counts.drafted < 150
    assert said[0] == said[1]
    assert len(said[0]) == 300
