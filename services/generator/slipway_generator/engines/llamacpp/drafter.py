"""Drafting by a second, smaller model with the same vocabulary: it writes a few tokens ahead, and the large model checks them in one step.

Where the large model samples, drafts are sampled too and come with the distribution that they were drawn from, so that the check can be speculative sampling
(Leviathan et al. 2023, arXiv 2211.17192; Chen et al. 2023, arXiv 2302.01318): the answer's distribution is the large model's. A request that brought a seed,
or whose answer is bound to a form, gets the draft's likeliest tokens instead; those are checked against the token that would have come anyhow, so that a seed
says the same with and without drafts. It refuses to know the large model.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from slipway_generator.engines.llamacpp.context import Context
from slipway_generator.engines.llamacpp.seat import Seated
from slipway_generator.sampling import Row


@dataclass(eq=False, slots=True)
class _Seat:
    """A sequence's place in the draft's context, and how many of its tokens the draft has read there."""

    slot: int
    read: int = 0


class Drafter:
    """The draft model's context, for at most `seats` sequences at once. The decode thread owns it."""

    def __init__(self, context: Context, *, seats: int, rows: int) -> None:
        self._context = context
        self._rows = rows
        self._free = list(range(seats))
        self._seats: dict[Seated, _Seat] = {}

    def propose(self, sequences: Iterable[Seated]) -> None:
        """Give each of `sequences` a draft, as long as its pace allows; nobody else keeps a seat."""
        wanted = {sequence: count for sequence in sequences if (count := sequence.draft_room()) > 0}
        self._seat(wanted)
        drafts: dict[Seated, list[int]] = {sequence: [] for sequence in wanted}
        sources: dict[Seated, list[Row]] = {sequence: [] for sequence in wanted}
        for step in range(max(wanted.values(), default=0)):
            asked = [sequence for sequence, count in wanted.items() if step < count]
            for sequence, row in zip(asked, self._read(asked, drafts), strict=True):
                if sequence.speculates_by_chance:
                    token, source = sequence.sampler.guess(row)
                    sources[sequence].append(source)
                else:
                    token = int(row.argmax())
                drafts[sequence].append(token)
        for sequence, draft in drafts.items():
            sequence.hold_draft(np.asarray(draft, dtype=np.int32), sources[sequence])

    def free(self) -> None:
        """Give the memory back."""
        self._context.free()

    def _seat(self, wanted: Iterable[Seated]) -> None:
        kept = set(wanted)
        for gone in [sequence for sequence in self._seats if sequence not in kept]:
            slot = self._seats.pop(gone).slot
            self._context.cut(slot, 0)
            self._free.append(slot)
        for sequence in kept:
            if sequence not in self._seats:
                self._seats[sequence] = _Seat(self._free.pop())
            seat = self._seats[sequence]
            if seat.read > sequence.done:
                # What was drafted last and turned out wrong.
                seat.read = sequence.done
                self._context.cut(seat.slot, seat.read)

    def _read(self, asked: list[Seated], drafts: dict[Seated, list[int]]) -> list[Row]:
        """Let the draft read what it has not read of each sequence and its draft; the logits after the last token of each, copied."""
        return [self._read_one(sequence, drafts[sequence]) for sequence in asked] if self._behind(asked) else self._read_last(asked, drafts)

    def _behind(self, asked: list[Seated]) -> bool:
        return any(sequence.length - self._seats[sequence].read > 1 for sequence in asked)

    def _read_one(self, sequence: Seated, draft: list[int]) -> Row:
        seat = self._seats[sequence]
        tokens = np.concatenate([sequence.tokens[: sequence.length], np.asarray(draft, dtype=np.int32)])
        while True:
            fresh = tokens[seat.read : seat.read + self._rows]
            self._context.begin()
            last = seat.read + len(fresh) == len(tokens)
            self._context.add(seat.slot, seat.read, fresh, logits="last" if last else "none")
            logits = self._context.decode()
            seat.read += len(fresh)
            if last:
                return logits[0].copy()

    def _read_last(self, asked: list[Seated], drafts: dict[Seated, list[int]]) -> list[Row]:
        self._context.begin()
        for sequence in sorted(asked, key=lambda one: self._seats[one].slot):
            seat = self._seats[sequence]
            token = drafts[sequence][-1] if drafts[sequence] else int(sequence.tokens[sequence.length - 1])
            self._context.add(seat.slot, seat.read, np.asarray([token], dtype=np.int32), logits="last")
            seat.read += 1
        logits = self._context.decode()
        order = {sequence: at for at, sequence in enumerate(sorted(asked, key=lambda one: self._seats[one].slot))}
        return [logits[order[sequence]].copy() for sequence in asked]
