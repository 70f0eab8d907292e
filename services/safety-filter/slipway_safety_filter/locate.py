"""Finds card numbers and IBANs among other groups: "4111 1111 1111 1111 12 25" holds one card and two other numbers.

Work per group is bounded by the longest number of the kind. It refuses to know check digits themselves.
"""

from collections.abc import Iterator
from itertools import pairwise

from slipway_safety_filter import check_digits

_CARD_LENGTHS = (16, 15, 14, 19, 18, 17, 13, 12)
_IBAN_CHARS = 46


def cards(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Spans of the cards in the run of digits and single separators `text[start:end]`; each begins and ends at a group's border."""
    if text[start - 1 : start] == "+":  # an international phone number
        return
    run = text[start:end]
    places = [i for i, char in enumerate(run) if char.isdigit()]
    digits = "".join(run[i] for i in places)
    borders = {n for n, at in enumerate(places) if at == 0 or not run[at - 1].isdigit()} | {len(places)}
    free = 0
    for first in sorted(borders):
        if first < free:
            continue
        for length in _CARD_LENGTHS:
            if first + length in borders and check_digits.card(digits[first : first + length]):
                free = first + length
                yield start + places[first], start + places[free - 1] + 1
                break


def ibans(text: str, start: int, _end: int) -> Iterator[tuple[int, int]]:
    """The span of the IBAN that begins at `start`, if there is one: the country says how many characters belong to it."""
    length = check_digits.IBAN_LENGTHS.get(text[start : start + 2].upper())
    if length is None:
        return
    run = text[start : start + _IBAN_CHARS]
    places = [i for i, char in enumerate(run) if char.isalnum()]
    if len(places) < length:
        return
    end = places[length - 1] + 1
    gaps = [b - a for a, b in pairwise(places[:length])]
    inside = all(char.isalnum() or char in " -" for char in run[:end])
    if max(gaps) <= 2 and inside and not run[end : end + 1].isalnum() and check_digits.iban("".join(run[i] for i in places[:length])):
        yield start, start + end
