"""Near-duplicate passages: what is folded, and that the quick comparison before it hides none."""

import random

import pytest
from slipway_retriever.duplicates import Folder

WORDS = [f"word{number}" for number in range(400)]


def passage(seed: int, length: int = 80) -> list[str]:
    return random.Random(seed).choices(WORDS, k=length)


PLAIN = passage(1)
SAME = {
    "capitals": " ".join(PLAIN).upper(),
    "line breaks": "\n".join(PLAIN),
    "one word changed": " ".join([*PLAIN[:40], "another", *PLAIN[41:]]),
    "punctuation": " ".join(f"{word}," if place % 4 == 0 else word for place, word in enumerate(PLAIN)),
    "its end cut off": " ".join(PLAIN[:-4]),
}


@pytest.mark.parametrize("other", SAME.values(), ids=SAME)
def test_what_says_the_same_is_folded(other: str) -> None:
    folder = Folder()
    assert folder.is_new(" ".join(PLAIN))
    assert not folder.is_new(other)


def test_passages_of_the_same_words_in_another_order_are_both_kept() -> None:
    words = passage(2)
    folder = Folder()
    assert folder.is_new(" ".join(words))
    assert folder.is_new(" ".join(random.Random(3).sample(words, len(words))))


def test_other_passages_are_kept_and_short_ones_are_compared_word_by_word() -> None:
    folder = Folder()
    assert all(folder.is_new(" ".join(passage(seed))) for seed in range(20))
    assert folder.is_new("Open from nine to five.")
    assert not folder.is_new("open, from nine: to five")
    assert folder.is_new("Open from ten to five.")


def test_text_without_blanks_is_compared() -> None:
    folder = Folder()
    assert folder.is_new("日本語の文章です。これは二つ目の文です。")
    assert not folder.is_new("日本語の文章です。これは二つ目の文です!")
    assert folder.is_new("まったく別の文章がここにあります。")
