"""Text from bytes: whole characters, stop strings across any borders, nothing lost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slipway_generator.spelling import Spelling, overlap


def say(pieces: list[bytes], stops: list[str]) -> tuple[list[str], Spelling]:
    spelling = Spelling(stops)
    out = [spelling.feed(piece) for piece in pieces]
    return [*out, spelling.finish()], spelling


@given(st.text(max_size=40), st.lists(st.text(min_size=1, max_size=5), max_size=3), st.data())
def test_any_cut_gives_the_text_before_the_first_stop(text: str, stops: list[str], data: st.DataObject) -> None:
    text = text.encode(errors="ignore").decode()
    stops = [stop for stop in (stop.encode(errors="ignore").decode() for stop in stops) if stop]
    raw, pieces = text.encode(), list[bytes]()
    while raw:
        size = data.draw(st.integers(1, 4))
        pieces.append(raw[:size])
        raw = raw[size:]
    out, spelling = say(pieces, stops)
    # The stop that is complete first ends the text; of several complete at once, the one that begins first.
    ends = [(text.index(stop) + len(stop)) for stop in stops if stop in text]
    assert spelling.stopped == bool(ends)
    if not ends:
        assert "".join(out) == text
    else:
        assert text.startswith("".join(out))
        assert not any(stop in "".join(out) for stop in stops)


def test_a_character_is_sent_when_it_is_whole() -> None:
    out, _ = say([b"\xf0\x9f", b"\x9a", b"\x80", b"!"], [])
    assert out == ["", "", "\U0001f680", "!", ""]


def test_a_cut_character_at_the_end_is_replaced_not_dropped() -> None:
    assert "".join(say([b"ab\xc3"], [])[0]) == "ab\ufffd"


def test_only_what_may_become_a_stop_is_held() -> None:
    out, spelling = say([b"a", b"b<", b"e", b"x", b"<", b"end", b">tail"], ["<end>"])
    assert out == ["a", "b", "", "<ex", "", "", "", ""]
    assert spelling.stopped


@pytest.mark.parametrize(
    ("text", "stop", "length"), [("abc", "cd", 1), ("aab", "ab", 0), ("aa", "aaa", 2), ("", "a", 0), ("xaba", "abac", 3)]
)
def test_overlap_is_the_longest_end_that_begins_the_stop(text: str, stop: str, length: int) -> None:
    assert overlap(text, stop) == length
