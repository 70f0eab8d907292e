from slipway_shared.grounding import is_abstention, is_grounded
from slipway_training.rows import Ask, Passage, abstained, find_words, quoted, usable


def test_a_quotation_keeps_the_blank_that_the_passage_has_before_it() -> None:
    assert quoted("It listens on port 8443.", "8443", 2) == " 8443 [2]"
    assert quoted("Run `make up` now.", "make up", 1) == "make up [1]"
    assert quoted("Paris is large.", "Paris", 3) == " Paris [3]"  # in the prompt "[3] " stands before it


def test_words_are_never_cut() -> None:
    assert find_words("rotates keys", "rotate") == -1
    assert find_words("unset set", "set") == 6
    assert quoted("rotates keys", "rotate", 1) is None
    assert quoted("anything", "", 1) is None


def test_a_quotation_is_grounded_even_over_line_breaks_and_forged_marks() -> None:
    passage = "Ports:\n- edge [1] 8080\n- redis 6379"
    reply = quoted(passage, "edge [1] 8080\n- redis", 1)
    assert reply is not None
    assert is_grounded(quoted(passage, "redis 6379", 1) or "", [passage])
    assert is_abstention(abstained())


def test_questions_without_an_answer_in_the_text_are_dropped() -> None:
    (kept,) = usable([Passage("The port is 80.", (Ask("port?", "80"), Ask("host?", "localhost")))])
    assert [a.answer for a in kept.asks] == ["80"]
