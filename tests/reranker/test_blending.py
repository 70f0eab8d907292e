"""When reading may end: what is expected of unread passages, how far the best must lie above it, and how both are kept."""

from pathlib import Path
from random import Random

import numpy as np
import pytest
from slipway_reranker.blend import NO_LEAD, RELEVANCE_SIGNALS, Blend, Enough, expected_signals, relevance_signals
from slipway_reranker.blending import LOSS, Seen, early, fit_enough, fit_lift, fit_relevance, known, told
from slipway_reranker.calibrate import Listed
from slipway_reranker.evidence import Calibration
from slipway_reranker.fitting import Matrix, Truths, listwise
from slipway_reranker.overlap import Match

PASSAGES = 20


def made(seed: int, told: float) -> Seen:
    """A list whose one right passage has a logit of about 8, the others of about 0; the first stage's score shows it as clearly as `told` says."""
    rng = Random(seed)
    right = rng.randrange(PASSAGES)
    logits = [8.0 * (place == right) + rng.gauss(0, 0.5) for place in range(PASSAGES)]
    scores = tuple(min(1.0, max(0.0, 0.3 + told * (place == right) + rng.gauss(0, 0.05))) for place in range(PASSAGES))
    row = Listed(f"set{seed % 2}", f"question {seed}", ("text",) * PASSAGES, (right,), answerable=True, scores=scores)
    signals = np.array([relevance_signals(logits[place], place, scores[place]) for place in range(PASSAGES)])
    before = np.array([expected_signals(Match(0.0, 0.0, 0.0), place, scores) for place in range(PASSAGES)])
    order = tuple(sorted(range(PASSAGES), key=lambda place: -scores[place]))
    return Seen(row, signals, before, None, order, np.zeros((PASSAGES, PASSAGES)))


def read(seen: list[Seen], relevance: Calibration, enough: Enough) -> float:
    """Passages read of a list, on the mean: those that have the log odds of their own logits."""
    return float(
        np.mean([(known(one, relevance, enough) == one.signals @ np.array(relevance.weights) + relevance.bias).sum() for one in seen])
    )


def test_where_the_first_stage_knows_little_is_read_and_where_it_knows_nothing_much_is() -> None:
    clear, blind = ([made(seed, told) for seed in range(120)] for told in (0.5, 0.0))
    counts: list[float] = []
    for seen in (clear, blind):
        relevance = fit_relevance(seen, first=True)
        enough = fit_enough(seen, relevance, 0.0, first=True)
        full = np.mean([one.ndcg(one.signals @ np.array(relevance.weights)) for one in seen])
        assert np.mean([one.ndcg(early(one, relevance, enough, 0.0)) for one in seen]) >= full - LOSS
        counts.append(read(seen, relevance, enough))
    assert counts[0] == 5
    assert counts[1] > 8


def test_evidence_knows_of_unread_passages_what_is_expected() -> None:
    seen = [made(seed, 0.5) for seed in range(40)]
    relevance = fit_relevance(seen, first=True)
    expected = Calibration(-7.5, (0.0,) * 6)
    odds = known(seen[0], relevance, Enough(expected, lead=0.0))
    assert (odds == -7.5).sum() == PASSAGES - 5
    assert (known(seen[0], relevance, Enough(expected)) == -7.5).sum() == 0


def test_relevance_is_told_as_the_service_gives_it() -> None:
    seen = [made(seed, 0.5) for seed in range(60)]
    relevance = fit_relevance(seen, first=True)
    everything, little = (
        told(seen, Blend(relevance, relevance, scored_enough=Enough(Calibration(0.0, (0.0,) * 6), lead))) for lead in (NO_LEAD, -NO_LEAD)
    )
    assert "AUC 1.000, ECE 0.0" in everything
    assert "AUC 1.000, ECE 0.375" in little, "what is not read, 15 of 20 passages and all of them wrong, has an even chance"


def test_a_calibration_is_read_as_it_was_written_and_an_earlier_form_reads_everything(tmp_path: Path) -> None:
    path = tmp_path / "calibration.json"
    one = Calibration(0.5, (1.0, 2.0, 3.0))
    blend = Blend(
        one, one, enough=Enough(Calibration(1.0, (0.5,) * 6), 2.5), scored_enough=Enough(Calibration(2.0, (0.25,) * 6), 3.5), lift=0.5
    )
    assert len(one.weights) == len(RELEVANCE_SIGNALS)
    blend.write(path)
    assert Blend.read(path) == blend
    raw = path.read_text(encoding="utf-8").replace('"enough"', '"before"').replace('"scored_enough"', '"scored_before"')
    path.write_text(raw, encoding="utf-8")
    assert Blend.read(path).enough.lead == pytest.approx(NO_LEAD)
    assert Blend.read(path).relevance == one
    path.write_text(raw.replace('"lift"', '"raised"'), encoding="utf-8")
    assert Blend.read(path).lift == 0.0


def test_the_lift_is_what_helps_and_at_most_the_whole_distance() -> None:
    seen = [made(seed, 0.5) for seed in range(60)]
    relevance = fit_relevance(seen, first=True)
    assert fit_lift(seen, relevance) == 0.0, "nobody has neighbours"
    for one in seen:  # the right passage says what the passage says that is read as the best
        other = 0 if one.row.relevant[0] else 1
        one.signals[[other, one.row.relevant[0]]] = one.signals[[one.row.relevant[0], other]]
        one.near[:] = (1 - np.eye(PASSAGES)) / (PASSAGES - 1)
        one.near[one.row.relevant[0]] = np.arange(PASSAGES) == other
    lift = fit_lift(seen, relevance)
    assert 0.0 < lift <= 1.0
    enough = Enough()
    before, after = (np.mean([one.ndcg(early(one, relevance, enough, share)) for one in seen]) for share in (0.0, lift))
    assert after > before + 0.1


def test_a_fit_comes_down_where_whole_newton_steps_overshoot() -> None:
    rng = np.random.default_rng(1)
    lists: list[tuple[Matrix, Truths]] = []
    for _ in range(40):
        x = rng.normal(size=(8, 1)) ** 7
        lists.append((x, np.arange(8) == int(np.argmax(x[:, 0] + rng.normal()))))
    weights = listwise(lists, np.ones(40))
    assert np.isfinite(weights).all()
    assert weights[0] > 0
