"""The stretch of a passage that is read: it holds what was asked, keeps its title, and is never longer than the passage."""

from hypothesis import given
from hypothesis import strategies as st
from slipway_shared.terms import terms
from slipway_shared.window import best_window, estimated_tokens, rarity

FILLER = "the tide turns twice a day and nobody minds. "


def test_a_term_of_every_passage_weighs_less_than_a_rare_one() -> None:
    weight = rarity(["common", "rare", "missing"], [{"common", "rare"}, {"common"}, {"common"}])
    assert weight["common"] < weight["rare"] < weight["missing"] <= 1


def test_the_stretch_that_holds_the_words_is_found_wherever_it_stands() -> None:
    weight = rarity(terms("When did herons nest in Bremen?"), [set(terms("herons nest"))])
    for before in (0, 10, 30):
        text = FILLER * before + "In 1893 herons first nested in Bremen. " + FILLER * (30 - before)
        seen = best_window(text, weight, 40)
        assert "1893 herons first nested in Bremen" in seen
        assert estimated_tokens(seen) <= 40


def test_what_was_found_has_words_before_and_behind_it() -> None:
    seen = best_window(FILLER * 20 + "herons " + FILLER * 20, {"heron": 1.0}, 60)
    before, behind = seen.split("herons")
    assert 0.3 < len(before) / len(seen) < 0.7
    assert behind


def test_the_nearer_pair_of_words_wins_over_one_of_them() -> None:
    text = "herons " + FILLER * 20 + "herons nested here. " + FILLER * 20
    assert "herons nested here" in best_window(text, {"heron": 1.0, "nest": 1.0}, 40)


def test_a_title_line_stays() -> None:
    seen = best_window("Germany > Birds\n" + FILLER * 20 + "herons nest. " + FILLER * 20, {"heron": 1.0}, 50)
    assert seen.startswith("Germany > Birds\n")
    assert "herons nest" in seen


def test_a_short_passage_and_one_without_the_words() -> None:
    assert best_window("herons nest", {"heron": 1.0}, 40) == "herons nest"
    assert (FILLER * 40).startswith(best_window(FILLER * 40, {"heron": 1.0}, 40))


@given(st.text(max_size=400), st.text(max_size=40), st.integers(4, 60))
def test_any_text_gives_a_part_of_itself(text: str, query: str, tokens: int) -> None:
    seen = best_window(text, rarity(terms(query), [set(terms(text))]), tokens)
    title, _, body = seen.partition("\n")
    assert seen in text or (text.startswith(title) and body in text)
