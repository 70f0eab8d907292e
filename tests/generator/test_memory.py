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


def entry(slot: int, tokens: list[int], tenant: str = "a") -> Entry:
    return Entry((tenant, None), np.asarray(tokens, dtype=np.int32), slot, np.empty(0, dtype=np.int32))


def test_the_longest_beginning_of_the_same_tenant_wins_and_is_kept_longest() -> None:
    cache = PrefixCache(4)
    for one in (entry(0, [1, 2, 3, 4]), entry(1, [1, 2, 9]), entry(2, [1, 2, 3, 4, 5], "b")):
        cache.add(one)
    found, length = cache.find(("a", None), np.asarray([1, 2, 3, 7], dtype=np.int32))
    assert found is not None
    assert (found.slot, length) == (0, 3)
    assert cache.find(("a", "lora"), np.asarray([1, 2], dtype=np.int32)) == (None, 0)
    oldest = cache.oldest()
    assert oldest is not None
    assert oldest.slot == 1
    assert [one.slot for one in cache.covered_by(("a", None), np.asarray([1, 2, 3, 4, 5], dtype=np.int32))] == [0]
    assert cache.covers(("a", None), np.asarray([1, 2], dtype=np.int32))


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
    lookup.judge(len(repeated), len(first), len(first))
    assert len(lookup.propose(repeated, 16)) > len(first)
    lookup.judge(len(repeated), 8, 0)
    assert len(lookup.propose(repeated, 16)) == 0
    later = np.asarray([1, 2, 3, 4] * 50, dtype=np.int32)
    assert len(lookup.propose(later, 16)) > 0
