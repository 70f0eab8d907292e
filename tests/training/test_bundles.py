from collections import Counter
from itertools import islice
from random import Random

import pytest
from slipway_shared.grounding import is_abstention, is_grounded
from slipway_training.bundles import Shape, bundles
from slipway_training.rows import Ask, Bundle, Page, Passage


@pytest.fixture(scope="module")
def made(pages: list[Page]) -> list[Bundle]:
    return list(islice(bundles(Random(1), pages, Shape((2, 4), 200, 6)), 400))


def test_every_reply_quotes_the_passage_that_it_cites(made: list[Bundle]) -> None:
    for bundle in made:
        for turn in bundle.turns:
            assert is_abstention(turn.reply) if turn.number == 0 else is_grounded(turn.reply, bundle.passages), turn
            assert turn.number == 0 or turn.reply.endswith(f"[{turn.number}]")


def test_an_unanswerable_question_has_no_answer_in_the_passages(pages: list[Page]) -> None:
    homes = {ask.question: ask.answer for page in pages for p in page.passages for ask in p.asks}
    made = list(islice(bundles(Random(2), pages, Shape((2, 3), 200, 6)), 300))
    turns = [(b, t) for b in made for t in b.turns if t.number == 0 and t.question in homes]
    held = sum(any(homes[t.question] in p for p in b.passages) for b, t in turns)
    assert turns
    assert held / len(turns) < 0.06  # short values such as "404" stand somewhere by chance; the question is another's


def test_the_gold_passage_is_anywhere_and_a_fifth_is_unanswerable(made: list[Bundle]) -> None:
    full = [b for b in made if len(b.passages) == 4]
    places = Counter(t.number for b in full for t in b.turns if t.number)
    assert set(places) == {1, 2, 3, 4}
    assert max(places.values()) < 1.6 * min(places.values())
    turns = [t for b in made for t in b.turns]
    assert 0.1 < sum(t.number == 0 for t in turns) / len(turns) < 0.3


def test_the_word_bound_holds_and_some_bundles_have_no_passages(pages: list[Page]) -> None:
    made = list(islice(bundles(Random(3), pages, Shape((1, 5), 60, 3)), 600))
    assert all(sum(len(p.split()) for p in b.passages) <= 60 for b in made)
    bare = [b for b in made if not b.passages]
    assert 0 < len(bare) < 30
    assert all(t.number == 0 for b in bare for t in b.turns)


def test_pages_without_questions_make_nothing() -> None:
    page = Page("x", (Passage("Only text here."),))
    assert list(bundles(Random(0), [page], Shape((1, 2), 50, 2))) == []
    asked = Page("x", (Passage("The port is 80.", (Ask("Which port?", "80"),)),))
    assert next(bundles(Random(0), [asked], Shape((1, 2), 50, 2))).passages == ("The port is 80.",)
