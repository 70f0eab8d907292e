"""Which cells can be used again: finished sequences by the tokens that they hold, least recently used first out, apart by tenant.

A lookup never sees another tenant's or adapter's entries, neither by content nor by timing. It refuses to know the library; it names slots and lengths.
"""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slipway_generator.engines.llamacpp.ledger import Cells
from slipway_generator.engines.sequence import Salt

Tokens = NDArray[np.int32]
MIN_SHARED = 16
"""Shorter overlaps are not worth a slot."""


@dataclass(eq=False, slots=True)
class Entry:
    """A finished sequence whose cells stay: `tokens` are what `slot` holds."""

    salt: Salt
    tokens: Tokens
    slot: int
    cells: Cells


class PrefixCache:
    """At most `limit` entries."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._entries: OrderedDict[int, Entry] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        """Entries, least recently used first."""
        return iter(list(self._entries.values()))

    def find(self, salt: Salt, prompt: Tokens) -> tuple[Entry | None, int]:
        """The entry that shares the longest beginning with `prompt`, and how long that is; it becomes the most recently used."""
        best, length = None, 0
        for entry in self._entries.values():
            if entry.salt == salt and (shared := common(entry.tokens, prompt)) > length:
                best, length = entry, shared
        if best is not None:
            self._entries.move_to_end(best.slot)
        return best, length

    def covers(self, salt: Salt, tokens: Tokens) -> bool:
        """Whether an entry already holds all of `tokens`; it becomes the most recently used."""
        entry, length = self.find(salt, tokens)
        return entry is not None and length == len(tokens)

    def covered_by(self, salt: Salt, tokens: Tokens) -> list[Entry]:
        """Entries that `tokens` would make redundant."""
        return [entry for entry in self if entry.salt == salt and common(entry.tokens, tokens) == len(entry.tokens)]

    def add(self, entry: Entry) -> None:
        """Keep `entry`; the caller made room."""
        self._entries[entry.slot] = entry

    def remove(self, entry: Entry) -> None:
        """Forget `entry`; its slot and cells are the caller's again."""
        del self._entries[entry.slot]

    def oldest(self) -> Entry | None:
        """The least recently used entry."""
        return next(iter(self._entries.values()), None)


def common(left: Tokens, right: Tokens) -> int:
    """Length of the longest common beginning."""
    size = min(len(left), len(right))
    differs = left[:size] != right[:size]
    at = int(differs.argmax()) if size else 0
    return at if size and differs[at] else size
