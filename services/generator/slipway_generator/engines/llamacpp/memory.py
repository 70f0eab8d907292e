"""Slots and cells of one context: giving them to sequences, sharing prefixes, and keeping what finished ones computed.

It knows the KV memory, the ledger and the prefix cache, and keeps the three in step. It refuses to know batches and schedules.
"""

import heapq
from collections.abc import Collection, Iterable

import numpy as np

from slipway_generator.engines.llamacpp.context import Context
from slipway_generator.engines.llamacpp.ledger import Ledger
from slipway_generator.engines.llamacpp.prefix import MIN_SHARED, Entry, PrefixCache, Tokens, common
from slipway_generator.engines.llamacpp.seat import Seated
from slipway_generator.engines.sequence import Salt

NOTHING: tuple[Salt | None, Tokens] = (None, np.empty(0, dtype=np.int32))


class KvMemory:
    """Everything that sequences hold of a context."""

    def __init__(self, context: Context, *, slots: int, prefixes: PrefixCache) -> None:
        self._context = context
        self._ledger = Ledger(context.cells)
        self._slots = list(range(slots))  # a heap: the lowest first
        self._left: dict[int, tuple[Salt, Tokens]] = {}  # what a free slot still holds, where its cells are nobody else's
        self._prefixes = prefixes

    @property
    def total(self) -> int:
        """Cells in all."""
        return self._ledger.total

    @property
    def kept_bytes(self) -> int:
        """State of finished sequences that is kept outside the KV cache."""
        return self._prefixes.bytes

    def fits_ever(self, sequence: Seated) -> bool:
        """Whether the sequence could be admitted into an empty memory."""
        return sequence.need <= self._ledger.total

    def awaits(self, sequence: Seated, running: Iterable[Seated]) -> bool:
        """Whether a running sequence is still reading a beginning that this one shares: sharing it soon is cheaper than reading it twice."""
        readers = [other for other in running if other.prefilling and other.salt == sequence.salt] if self._may_share(sequence) else []
        if not readers:
            return False  # the usual case, asked for every waiting request in every step
        prompt = _prompt(sequence)
        known = self._prefixes.find(sequence.salt, prompt)[1]
        return any(min(common(_prompt(other), prompt), len(prompt) - 1) - max(known, other.done) >= MIN_SHARED for other in readers)

    def admit(self, sequence: Seated, running: Iterable[Seated]) -> bool:
        """Give the sequence a slot, shared cells and enough fresh ones for its worst case; False when there is no room now."""
        neighbour, shared = self._neighbour(sequence, running)
        entry, kept = self._kept(sequence)
        # In a pool a neighbour's cells are free and a kept prefix takes fresh ones. Else both are a copy, which costs less than reading one token
        # (measured: 0.4 ms for 250 tokens beside 2.7 ms a row), so whoever knows more is taken.
        if entry is not None and kept >= shared + (MIN_SHARED if self._context.pooled else 1):
            neighbour, shared = None, 0
        else:
            entry = None
        if self._ledger.free < sequence.need - shared:
            return False
        stays = self._sit(sequence, at_least=max(shared, kept if entry is not None else 0))
        if stays:
            neighbour, entry, shared = None, None, stays
        held = np.empty(0, dtype=np.int32)
        if neighbour is not None:
            held = neighbour.cells[:shared]
            self._ledger.hold(held)
            self._context.share(neighbour.slot, sequence.slot, shared)
        elif entry is not None and self._context.restore(sequence.slot, entry.state):
            self._context.cut(sequence.slot, kept)
            shared = kept
        sequence.cells = np.concatenate([held, self._ledger.take(sequence.need - len(held))])
        sequence.shared = sequence.done = shared
        return True

    def release(self, sequence: Seated) -> None:
        """Take the sequence's slot and cells back; what was computed is kept as a prefix for others."""
        if sequence.slot < 0:
            return
        tokens = sequence.tokens[: sequence.done]
        if self._prefixes.wants(sequence.salt, tokens):
            self._context.cut(sequence.slot, sequence.done)
            self._prefixes.add(Entry(sequence.salt, tokens.copy(), self._context.save(sequence.slot)))
        stays = not self._context.pooled and self._prefixes.limit > 0
        self._context.cut(sequence.slot, sequence.done if stays else 0)
        if stays:
            self._left[sequence.slot] = sequence.salt, tokens.copy()
        self._vacate(sequence)

    def compact(self, running: Collection[Seated]) -> None:
        """Move sequences into lower slots until there is no gap: with cells of their own, only neighbouring slots share a pass over the weights."""
        if self._context.pooled or len(running) < 2:
            return
        for sequence in sorted(running, key=lambda one: one.slot, reverse=True):
            if not self._slots or self._slots[0] > sequence.slot:
                return
            target = heapq.heapreplace(self._slots, sequence.slot)
            self._empty(target)
            if sequence.done:
                self._context.move(sequence.slot, target)
                self._context.cut(sequence.slot, 0)
            sequence.slot = target

    def discard(self, sequences: Iterable[Seated]) -> None:
        """After a failed decode nothing that was computed is trusted: everything is forgotten."""
        for sequence in sequences:
            if sequence.slot >= 0:
                self._vacate(sequence)
        self._prefixes.clear()
        self._left.clear()
        self._context.clear()

    def trim(self, sequence: Seated) -> None:
        """Forget rows of `sequence` that turned out wrong."""
        self._context.cut(sequence.slot, sequence.done)

    def _sit(self, sequence: Seated, *, at_least: int) -> int:
        """Take a slot: one that still holds a beginning of the prompt as long as `at_least` (how long is returned: no cell is copied), else the lowest, emptied."""
        best, length = self._slots[0], 0
        if self._may_share(sequence):
            prompt = _prompt(sequence)
            for slot in self._slots:
                salt, tokens = self._left.get(slot, NOTHING)
                if salt == sequence.salt and (stays := min(common(tokens, prompt), len(prompt) - 1)) > length:
                    best, length = slot, stays
        if length < max(at_least, MIN_SHARED):
            best, length = self._slots[0], 0
        self._slots.remove(best)
        heapq.heapify(self._slots)
        sequence.slot = best
        if length:
            del self._left[best]
            self._context.cut(best, length)
        else:
            self._empty(best)
        return length

    def _empty(self, slot: int) -> None:
        if self._left.pop(slot, None) is not None:
            self._context.cut(slot, 0)

    def _neighbour(self, sequence: Seated, running: Iterable[Seated]) -> tuple[Seated | None, int]:
        """The running sequence whose cells can be shared furthest; the last prompt token is always computed, for its logits."""
        best, length = None, 0
        if self._may_share(sequence):
            prompt = _prompt(sequence)
            for other in running:
                if other.salt == sequence.salt and (shared := common(other.tokens[: other.done], prompt)) > length:
                    best, length = other, shared
            length = min(length, len(prompt) - 1)
        return (best, length) if length >= MIN_SHARED else (None, 0)

    def _kept(self, sequence: Seated) -> tuple[Entry | None, int]:
        """The kept prefix that helps most. All of it is written before its end is cut off, so all of it must fit now."""
        if not self._may_share(sequence):
            return None, 0
        prompt = _prompt(sequence)
        entry, length = self._prefixes.find(sequence.salt, prompt)
        if entry is None or len(entry.tokens) > self._ledger.free:
            return None, 0
        return entry, min(length, len(prompt) - 1)

    def _may_share(self, sequence: Seated) -> bool:
        # With prompt log-probabilities every prompt row must be computed.
        return self._prefixes.limit > 0 and sequence.request.prompt_logprobs is None

    def _vacate(self, sequence: Seated) -> None:
        self._ledger.release(sequence.cells)
        heapq.heappush(self._slots, sequence.slot)
        sequence.slot = -1


def _prompt(sequence: Seated) -> Tokens:
    return sequence.tokens[: len(sequence.request.prompt)]
