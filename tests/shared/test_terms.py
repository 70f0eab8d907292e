import pytest
from hypothesis import given
from hypothesis import strategies as st
from slipway_shared.stemming import stem
from slipway_shared.terms import MAX_TERM, terms, words


@pytest.mark.parametrize(
    ("word", "root"),
    # Worked examples of Porter's paper.
    [
        ("caresses", "caress"), ("ponies", "poni"), ("cats", "cat"), ("agreed", "agre"), ("plastered", "plaster"), ("motoring", "motor"), ("sing", "sing"),
        ("conflated", "conflat"), ("hopping", "hop"), ("falling", "fall"), ("filing", "file"), ("happy", "happi"), ("relational", "relat"),
        ("vietnamization", "vietnam"), ("triplicate", "triplic"), ("hopefulness", "hope"), ("revival", "reviv"), ("adjustment", "adjust"), ("rate", "rate"),
        ("controll", "control"), ("probate", "probat"),
    ],
)  # fmt: skip
def test_english_suffixes_are_stripped_as_porter_strips_them(word: str, root: str) -> None:
    assert stem(word) == root


@pytest.mark.parametrize("word", ["8080", "größe", "ab", "x" * 41, "ipv6", ""])
def test_what_is_no_plain_english_word_comes_back_as_it_is(word: str) -> None:
    assert stem(word) == word


def test_terms_are_folded_stemmed_content_words() -> None:
    assert terms("Which ports does the Gateway's EDGE listen on?") == ["port", "gatewai", "edg", "listen"]
    assert terms("What is it?") == []


def test_accents_fall_and_ideographs_become_pairs() -> None:
    assert words("Café ＡＢＣ") == ["cafe", "abc"]
    assert words("東京都") == ["東京", "京都"]


@given(st.text(max_size=200))
def test_any_text_gives_bounded_words(text: str) -> None:
    assert all(0 < len(word) <= 4 * MAX_TERM for word in words(text))
