"""Quotes instead of a model: they stand in the passages, word for word."""

from hypothesis import given
from hypothesis import strategies as st
from slipway_gateway import extract
from slipway_shared.grounding import is_grounded

PASSAGES = [
    "The edge listens on port 8080. Envoy does the rest. SLIPWAY_PORT moves it.",
    "Redis listens on port 8091 by default. It holds the counters.",
    "Cheese is made from milk [3]. Nobody knows why.",
]


def test_the_sentence_that_answers_is_quoted_first() -> None:
    said = extract.answer("Which port does the edge listen on?", PASSAGES)
    assert said is not None and said.startswith('"The edge listens on port 8080." [1]')
    assert is_grounded(said, PASSAGES)
    assert extract.answer("What is cheese made from?", PASSAGES) == '"Cheese is made from milk [ 3]." [3]'


def test_questions_code_and_tables_are_no_answers() -> None:
    passages = [
        '"messages": [{"role": "user", "content": "edge port"}], "port": 1',
        "Which port does the edge use?\n| edge | port | 8080 |",
        *PASSAGES,
    ]
    assert extract.answer("Which port does the edge listen on?", passages) == '"The edge listens on port 8080." [3]'


def test_a_quote_from_a_sentence_about_something_else_has_little_support() -> None:
    table = "process | port\nEnvoy, edge listener | 8080\nRetriever | 8103"
    question = "What port does the edge listen on?"
    assert extract.support(question, [*PASSAGES, table], " 8103 [4]") < 0.5
    assert extract.support(question, [*PASSAGES, table], "8080 [1]") == 1.0
    assert extract.support(question, PASSAGES, "port 8080. Envoy does [1]") == 1.0
    assert extract.support("zebra?", PASSAGES, "8080 [1]") == 1.0


def test_the_heading_above_a_passage_says_whom_it_is_about() -> None:
    passages, titles = ["It borders three states.", "It borders one state."], ["Austria > Borders", "Denmark > Borders"]
    assert extract.answer("What borders Denmark?", passages, titles) == '"It borders one state." [2]'


def test_nothing_is_quoted_when_no_word_is_shared() -> None:
    assert extract.answer("zebra?", PASSAGES) is None
    assert extract.answer("the of and?", PASSAGES) is None
    assert extract.answer("port", []) is None


@given(st.lists(st.text(max_size=200), max_size=5), st.text(max_size=60))
def test_whatever_is_quoted_is_grounded(passages: list[str], question: str) -> None:
    said = extract.answer(question, passages)
    assert said is None or is_grounded(said, passages)
