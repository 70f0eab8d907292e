"""Operating points by hand: what a limit on evidence lets through, and two platforms that change over at one."""

import pytest
from slipway_retriever.evaluate import operating
from slipway_retriever.evaluate.operating import Tried, limited, mixed, point, table


def tried(evidence: float, *, answerable: bool = True, answered: bool = True, right: bool = True, of: str = "birds") -> Tried:
    return Tried(of, "who", answerable, evidence, answered, right, float(right))


ROWS = [
    tried(0.9),
    tried(0.6, right=False),
    tried(0.3),
    tried(0.1, answered=False, right=False),
    tried(0.2, answerable=False, right=False),
    tried(0.7, answerable=False, right=False),
]


def test_a_limit_silences_answers_on_both_sides() -> None:
    free, strict = point(limited(ROWS, 0.0)), point(limited(ROWS, 0.5))
    assert (free.right, free.wrong, free.silent, free.kept_back, free.f1) == (0.5, 0.25, 0.25, 0.0, 0.5)
    assert (strict.right, strict.wrong, strict.silent, strict.kept_back, strict.f1) == (0.25, 0.25, 0.5, 0.5, 0.25)
    assert (free.worth, strict.worth) == (pytest.approx(-0.375), pytest.approx(-0.25))


def test_every_set_weighs_the_same() -> None:
    assert point([*ROWS[:4], tried(0.9, of="tides")]).right == pytest.approx(0.75)


def test_an_answer_that_is_right_all_the_same_is_no_miss() -> None:
    assert point([tried(0.9), tried(0.9, answerable=False)]).kept_back == 1.0


def test_above_the_limit_the_second_platform_answers() -> None:
    quoting = [tried(row.evidence, answerable=row.answerable) for row in ROWS]
    assert [row.right for row in mixed(ROWS, quoting, 0.65)] == [True, False, True, False, False, True]


def test_the_sections_name_every_limit_and_every_point() -> None:
    least, strong, others = operating.parts({"never": ROWS, "always": ROWS}, ("never", "always"))
    assert [line[0] for line in least.table[1:]] == [f"{limit:.2f}" for limit in operating.LIMITS]
    assert strong.table[-1][0] == "never"
    assert others.table == table("settings", {"never": ROWS, "always": ROWS})
    assert "least-evidence.svg" in least.plots
    assert len(operating.parts({"as it is": ROWS}, None)) == 1
