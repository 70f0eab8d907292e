"""Ledger, prefix cache and prompt lookup, without a library."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from slipway_generator.engines.drafting import PromptLookup
from slipway_generator.engines.llamacpp.ledger import Cells, Ledger
from slipway_generator.engines.llamacpp.prefix import Entry, PrefixCache, common


@given(st.lists(st.tuples(st.sampled_from(["take", "share", "release"]), st.integers(0, 12)), max_size=60))
def test_cells_are_never_lost_or_given_twice(steps: list[tuple[str, int]]) -> None:
    ledger, held = Ledger(64), list[Cells]()
    for verb, number in steps:
        if verb == "take" and number <= ledger.free:
            held.append(ledger.take(number))
        elif verb == "share" and held:
            part = held[number % len(held)][: number // 2]
            ledger.hold(part)
            held.append(part)
        elif verb == "release" and held:
            ledger.release(held.pop(number % len(held)))
        distinct = {int(cell) for cells in held for cell in cells}
        assert ledger.free == 64 - len(distinct)
    for cells in held:
        ledger.release(cells)
    assert ledger.free == 64


def test_more_than_there_is_cannot_be_taken() -> None:
    with pytest.raises(AssertionError):
        Ledger(4).take(5)


def entry(tokens: list[int], tenant: str = "a", size: int = 10) -> Entry:
    return Entry((tenant, None), np.asarray(tokens, dtype=np.int32), np.zeros(size, dtype=np.uint8))


def test_the_longest_beginning_of_the_same_tenant_wins() -> None:
    cache = PrefixCache(4, 1000)
    for one in (entry([1, 2, 3, 4]), entry([1, 2, 9]), entry([1, 2, 3, 4, 5], "b")):
        cache.add(one)
    found, length = cache.find(("a", None), np.asarray([1, 2, 3, 7], dtype=np.int32))
    assert found is not None
    assert (found.tokens.tolist(), length) == ([1, 2, 3, 4], 3)
    assert cache.find(("a", "lora"), np.asarray([1, 2], dtype=np.int32)) == (None, 0)
    assert not cache.wants(("b", None), np.asarray([1, 2, 3], dtype=np.int32))


def test_the_limits_hold_and_the_least_recently_used_goes_first() -> None:
    cache = PrefixCache(3, 35)
    for first in (1, 2, 3):
        cache.add(entry([first] * 20))
    assert cache.find(("a", None), np.asarray([1] * 20, dtype=np.int32))[1] == 20
    cache.add(entry([4] * 20))
    assert [cache.find(("a", None), np.asarray([first] * 20, dtype=np.int32))[1] for first in (1, 2, 3, 4)] == [20, 0, 20, 20]
    cache.add(entry([5] * 20, size=30))
    assert (len(cache), cache.bytes) == (1, 30)
    cache.add(entry([5] * 30, size=31))  # it holds all of the former, which goes
    assert (len(cache), cache.bytes) == (1, 31)
    cache.clear()
    assert (len(cache), cache.bytes) == (0, 0)
    assert PrefixCache(0, 100).wants(("a", None), np.asarray([1] * 20, dtype=np.int32)) is False


@given(st.lists(st.integers(0, 2), max_size=8), st.lists(st.integers(0, 2), max_size=8))
def test_common_is_the_common_beginning(left: list[int], right: list[int]) -> None:
    length = common(np.asarray(left, dtype=np.int32), np.asarray(right, dtype=np.int32))
    assert left[:length] == right[:length]
    assert length == min(len(left), len(right)) or left[length] != right[length]


def test_a_draft_is_what_followed_the_same_words_last() -> None:
    lookup = PromptLookup(8)
    tokens = np.asarray([1, 2, 3, 10, 11, 5, 1, 2, 3, 20, 21, 22, 1, 2, 3], dtype=np.int32)
    assert lookup.propose(tokens, 2).tolist() == [20, 21]
    assert lookup.propose(tokens, 0).tolist() == []
    assert PromptLookup(8).propose(np.arange(9, dtype=np.int32), 8).tolist() == []
    assert PromptLookup(8).propose(np.asarray([7, 7, 7, 7, 7], dtype=np.int32), 8).tolist() == [7, 7, 7, 7]


def test_drafting_rests_where_it_fails_and_grows_where_it_succeeds() -> None:
    repeated = np.asarray([1, 2, 3, 4] * 40, dtype=np.int32)
    lookup = PromptLookup(8)
    first = lookup.propose(repeated, 16)
    lookup.pace.judge(len(repeated), len(first), len(first))
    assert len(lookup.propose(repeated, 16)) > len(first)
    lookup.pace.judge(len(repeated), 8, 0)
    assert len(lookup.propose(repeated, 16)) == 0
    later = np.asarray([1, 2, 3, 4] * 50, dtype=np.int32)
    assert len(lookup.propose(later, 16)) > 0
