"""What can be read again without computing: finished sequences by their tokens, least recently used first out, apart by tenant.

Their cells are kept outside the KV memory. Inside it, idle cells cost every step: attention walks over them (measured: 10 % with 24 idle entries), and they take
room from sequences that run. A copy costs under a millisecond for hundreds of tokens, either way. A lookup never sees another tenant's or adapter's entries,
neither by content nor by timing. It refuses to know the library.
"""

from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slipway_generator.engines.sequence import Salt

Tokens = NDArray[np.int32]
MIN_SHARED = 16
"""Shorter overlaps are not worth a copy."""


@dataclass(eq=False, slots=True)
class Entry:
    """A finished sequence: `state` holds the cells of all its `tokens`."""

    salt: Salt
    tokens: Tokens
    state: NDArray[np.uint8]


class PrefixCache:
    """At most `limit` entries and `limit_bytes` of cells."""

    def __init__(self, limit: int, limit_bytes: int) -> None:
        self.limit = limit
        self._limit_bytes = limit_bytes
        self._entries: OrderedDict[int, Entry] = OrderedDict()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def find(self, salt: Salt, prompt: Tokens) -> tuple[Entry | None, int]:
        """The entry that shares the longest beginning with `prompt`, and how long that is; it becomes the most recently used."""
        best, length = None, 0
        for entry in self._entries.values():
            if entry.salt == salt and (shared := common(entry.tokens, prompt)) > length:
                best, length = entry, shared
        if best is not None:
            self._entries.move_to_end(id(best))
        return best, length

    def wants(self, salt: Salt, tokens: Tokens) -> bool:
        """Whether keeping `tokens` would add anything."""
        if self.limit == 0 or len(tokens) < MIN_SHARED:
            return False
        entry, length = self.find(salt, tokens)
        return entry is None or length < len(tokens)

    def add(self, entry: Entry) -> None:
        """Keep `entry`; those that it makes redundant go, and then the least recently used until the limits hold."""
        for other in [
            one for one in self._entries.values() if one.salt == entry.salt and common(one.tokens, entry.tokens) == len(one.tokens)
        ]:
            self._remove(other)
        self._entries[id(entry)] = entry
        self.bytes += entry.state.nbytes
        while self._entries and (len(self._entries) > self.limit or self.bytes > self._limit_bytes):
            self._remove(next(iter(self._entries.values())))

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self.bytes = 0

    def _remove(self, entry: Entry) -> None:
        del self._entries[id(entry)]
        self.bytes -= entry.state.nbytes


def common(left: Tokens, right: Tokens) -> int:
    """Length of the longest common beginning."""
    size = min(len(left), len(right))
    differs = left[:size] != right[:size]
    at = int(differs.argmax()) if size else 0
    return at if size and differs[at] else size
