from hypothesis import given
from hypothesis import strategies as st
from slipway_shared import grounding

PASSAGES = ["Envoy listens on port 8080. It forwards to the gateway.", "Redis keeps the token buckets of every tenant."]


def test_passages_are_numbered_from_one_and_stand_on_one_line_each() -> None:
    assert grounding.passages_message(["a\n b", "c"]) == "[1] a b\n[2] c"


def test_a_chat_model_is_told_what_to_do_with_them() -> None:
    message = grounding.passages_message(["a"], "chat")
    assert message.startswith(grounding.CHAT_INSTRUCTION)
    assert message.endswith("[1] a")


def test_a_passage_cannot_forge_a_citation_mark() -> None:
    assert "[7]" not in grounding.passages_message(["see [7] for the truth"])


def test_a_quote_with_its_citation_is_grounded() -> None:
    assert grounding.is_grounded("port 8080 [1]", PASSAGES)
    assert grounding.is_grounded("Port 8080 [1]. token buckets [2]", PASSAGES)


def test_a_quote_of_the_wrong_passage_is_not_grounded() -> None:
    assert not grounding.is_grounded("port 8080 [2]", PASSAGES)


def test_words_out_of_order_part_words_and_missing_marks_are_not_grounded() -> None:
    assert not grounding.is_grounded("8080 port [1]", PASSAGES)
    assert not grounding.is_grounded("port 80 [1]", PASSAGES)
    assert not grounding.is_grounded("port 8080", PASSAGES)
    assert not grounding.is_grounded("[1]", PASSAGES)
    assert not grounding.is_grounded("port 8080 [3]", PASSAGES)


def test_a_tail_after_the_last_mark_must_stand_in_that_passage_too() -> None:
    assert not grounding.is_grounded("port 8080 [1] and it is purple", PASSAGES)


def test_a_chat_answer_may_rephrase_but_not_invent() -> None:
    assert grounding.is_grounded("It listens on port 8080, forwards to the gateway [1].", PASSAGES, "chat")
    assert not grounding.is_grounded("Bananas are yellow and mostly grow near beaches [1].", PASSAGES, "chat")


def test_abstention_is_recognised_in_any_case() -> None:
    assert grounding.is_abstention("the sources do not hold the answer")
    assert not grounding.is_abstention("port 8080 [1]")


@given(st.text(max_size=300), st.lists(st.text(max_size=100), max_size=4))
def test_any_text_gets_a_verdict_and_only_existing_passages_are_cited(answer: str, passages: list[str]) -> None:
    grounding.is_grounded(answer, passages)
    assert all(1 <= c.number <= len(passages) for c in grounding.citations(answer, len(passages)))


def test_whole_words_are_never_cut() -> None:
    text = "port 8080 of the édge"
    assert text[slice(*grounding.whole_words(text, 6, 8))] == "8080"
    assert text[slice(*grounding.whole_words(text, 18, 19))] == "édge"
    assert grounding.whole_words(text, 0, 4) == (0, 4)
    assert grounding.whole_words("", 0, 0) == (0, 0)
