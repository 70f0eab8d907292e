"""Slots and cells of one context: giving them to sequences, sharing prefixes, keeping finished ones, and making room.

It knows the KV memory, the ledger and the prefix cache, and keeps the three in step. It refuses to know batches and schedules.
"""

from collections.abc import Iterable

import numpy as np

from slipway_generator.engines.llamacpp.context import Context
from slipway_generator.engines.llamacpp.ledger import Ledger
from slipway_generator.engines.llamacpp.prefix import MIN_SHARED, Entry, PrefixCache, common
from slipway_generator.engines.llamacpp.seat import Seated


class KvMemory:
    """Everything that sequences hold of a context."""

    def __init__(self, context: Context, *, slots: int, prefix_entries: int) -> None:
        self._context = context
        self._ledger = Ledger(context.cells)
        self._slots = list(range(slots - 1, -1, -1))
        self.prefixes = PrefixCache(prefix_entries)

    @property
    def total(self) -> int:
        """Cells in all."""
        return self._ledger.total

    def fits_ever(self, sequence: Seated) -> bool:
        """Whether the sequence could be admitted into an empty memory."""
        return sequence.need <= self._ledger.total

    def awaits(self, sequence: Seated, running: Iterable[Seated]) -> bool:
        """Whether a running sequence is still reading a beginning that this one shares: sharing it soon is cheaper than reading it twice."""
        prompt = _prompt(sequence)
        known = self.prefixes.find(sequence.salt, prompt)[1] if self.prefixes.limit else 0
        for other in running:
            if other.prefilling and other.salt == sequence.salt:
                shared = min(common(_prompt(other), prompt), len(prompt) - 1)
                if shared - max(known, other.done) >= MIN_SHARED:
                    return True
        return False

    def admit(self, sequence: Seated, running: Iterable[Seated]) -> bool:
        """Give the sequence a slot, shared cells and enough fresh ones for its worst case; False when there is no room now."""
        if sequence.slot >= 0:
            raise AssertionError("a sequence is admitted once")
        source, shared = self._longest(sequence, running)
        slot = self._slots.pop()  # there is always one: as many as sequences may run and entries may be kept
        self._context.cut(slot, 0)
        held = np.empty(0, dtype=np.int32)
        if source is not None:
            # Shared before room is made, so that making room may take the source itself away.
            held = source.cells[:shared]
            self._ledger.hold(held)
            self._context.share(source.slot, slot, shared)
        if not self._make_room(sequence.need - shared):
            self._ledger.release(held)
            self._context.cut(slot, 0)
            self._slots.append(slot)
            return False
        sequence.slot, sequence.shared, sequence.done = slot, shared, shared
        sequence.cells = np.concatenate([held, self._ledger.take(sequence.need - shared)])
        return True

    def release(self, sequence: Seated) -> None:
        """Take the sequence's slot and cells back, or keep what was computed as a prefix for others."""
        if sequence.slot < 0:
            return
        done = sequence.done
        self._ledger.release(sequence.cells[done:])
        self._context.cut(sequence.slot, done)
        tokens = sequence.tokens[:done].copy()
        entry = Entry(sequence.salt, tokens, sequence.slot, sequence.cells[:done])
        sequence.slot = -1
        if done < MIN_SHARED or self.prefixes.limit == 0 or self.prefixes.covers(entry.salt, tokens):
            self._drop(entry)
            return
        for redundant in self.prefixes.covered_by(entry.salt, tokens):
            self._evict(redundant)
        while len(self.prefixes) >= self.prefixes.limit and (oldest := self.prefixes.oldest()) is not None:
            self._evict(oldest)
        self.prefixes.add(entry)

    def discard(self, sequences: Iterable[Seated]) -> None:
        """After a failed decode nothing in the memory is trusted: everything is forgotten."""
        for sequence in sequences:
            if sequence.slot >= 0:
                self._ledger.release(sequence.cells)
                self._slots.append(sequence.slot)
                sequence.slot = -1
        for entry in self.prefixes:
            self._evict(entry)
        self._context.clear()

    def trim(self, sequence: Seated) -> None:
        """Forget rows of `sequence` that turned out wrong."""
        self._context.cut(sequence.slot, sequence.done)

    def _longest(self, sequence: Seated, running: Iterable[Seated]) -> tuple[Entry | Seated | None, int]:
        if sequence.request.prompt_logprobs is not None or not self.prefixes.limit:
            return None, 0  # every prompt row must be computed, or sharing is off
        prompt = _prompt(sequence)
        source: Entry | Seated | None
        source, length = self.prefixes.find(sequence.salt, prompt)
        for other in running:
            if other.salt == sequence.salt and (shared := min(common(other.tokens[: other.done], prompt), other.done)) > length:
                source, length = other, shared
        # The last prompt token is always computed, for its logits.
        length = min(length, len(prompt) - 1)
        return (source, length) if length >= MIN_SHARED else (None, 0)

    def _make_room(self, cells: int) -> bool:
        while self._ledger.free < cells:
            oldest = self.prefixes.oldest()
            if oldest is None:
                return False
            self._evict(oldest)
        return True

    def _evict(self, entry: Entry) -> None:
        self.prefixes.remove(entry)
        self._drop(entry)

    def _drop(self, entry: Entry) -> None:
        self._ledger.release(entry.cells)
        self._context.cut(entry.slot, 0)
        self._slots.append(entry.slot)


def _prompt(sequence: Seated) -> np.ndarray[tuple[int], np.dtype[np.int32]]:
    return sequence.tokens[: len(sequence.request.prompt)]
