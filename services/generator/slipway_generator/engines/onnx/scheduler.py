"""The decode thread of the ONNX engine: places and batches take turns, one step each.

Requests that wait together and are of like length are seated as a static batch; who can share none, or knows most of its prompt in a place, sits alone.
It refuses to know the event loop: callers are told through `Sequence.deliver`.
"""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

from slipway_shared import errors

from slipway_generator.engine import EngineLoad
from slipway_generator.engines.onnx.batch import Batch, alike, batchable
from slipway_generator.engines.onnx.native import Native
from slipway_generator.engines.onnx.place import Place
from slipway_generator.engines.sequence import Sequence

MAX_PLACES = 4
"""Sequences that take turns alone; more would each be slower and none sooner done."""
HELD_TURNS = 16
"""Where several wait and one seat falls free, it is held for so many tokens, in case a second falls free: two in one batch are nearly twice as fast as two alone."""


@dataclass(frozen=True, slots=True)
class Limits:
    """At most `sequences` answer at once, `together` of them in one batch, and `waiting` wait. An idle engine lets `gather_seconds` pass after each arrival."""

    sequences: int
    waiting: int
    together: int
    gather_seconds: float


class Scheduler:
    """Owns the places, the batches and every sequence, on a thread of its own."""

    def __init__(self, native: Native, limits: Limits, flush: Callable[[], None], log: Any) -> None:
        self._native = native
        self._limits = limits
        self._seats = min(limits.sequences, max(MAX_PLACES, limits.together))
        self._flush = flush
        self._log = log
        self._lock = threading.Condition()
        self._waiting: list[Sequence] = []
        self._places = [Place(native.generator()) for _ in range(min(MAX_PLACES, limits.sequences))]
        self._batches: list[Batch] = []
        self._held = 0
        self._closing = False
        self._thread = threading.Thread(target=self._live, name="decode", daemon=True)

    def start(self) -> None:
        """Begin to decode."""
        self._thread.start()

    def submit(self, sequence: Sequence) -> None:
        """Queue a sequence; raises Overloaded when the engine ends, QueueFull when the queue is full."""
        with self._lock:
            if self._closing:
                raise errors.Overloaded("The engine is stopping; try again.", code="engine_failed")
            if len(self._waiting) >= self._limits.waiting + self._free():
                raise errors.QueueFull("The queue is full; try again.", retry_after_seconds=1.0 + len(self._waiting) / 4)
            self._waiting.append(sequence)
            self._lock.notify()

    def load(self) -> EngineLoad:
        """What runs now. Counts are read without the lock: each is right by itself."""
        running = list(self._running())
        room = self._seats * self._native.context_tokens
        return EngineLoad(len(running), len(self._waiting), min(1.0, sum(one.done for one in running) / room))

    def close(self) -> None:
        """End every sequence and the thread."""
        with self._lock:
            self._closing = True
            self._lock.notify()
        if self._thread.is_alive():
            self._thread.join()
        self._places.clear()
        self._batches.clear()

    def _running(self) -> Iterator[Sequence]:
        yield from [place.sequence for place in list(self._places) if place.sequence is not None]
        for batch in list(self._batches):
            yield from list(batch.live.values())

    def _free(self) -> int:
        return max(0, self._seats - sum(1 for _ in self._running()))

    def _live(self) -> None:
        while self._collect():
            self._seat()
            self._flush()
            for place in self._places:
                if place.sequence is not None:
                    self._turn_alone(place, place.sequence)
                    self._flush()
            for batch in list(self._batches):
                self._turn_together(batch)
                self._flush()
        for sequence in [*self._waiting, *self._running()]:
            sequence.deliver(sequence, errors.Overloaded("This instance is shutting down; try again.", code="draining"))
        self._flush()

    def _collect(self) -> bool:
        with self._lock:
            while not self._closing and not self._waiting and next(self._running(), None) is None:
                self._lock.wait()
                self._gather()
            return not self._closing

    def _gather(self) -> None:
        """The engine was idle and somebody came: who comes right behind shall share the first step instead of missing it."""
        came = 0
        while self._limits.together > 1 and came < len(self._waiting) < self._limits.together and not self._closing:
            came = len(self._waiting)
            self._lock.wait(self._limits.gather_seconds)

    def _seat(self) -> None:
        """Give seats to those that wait, by priority and age; whoever cannot sit yet waits on and does not hold up those behind."""
        with self._lock:
            for sequence in [one for one in self._waiting if one.cancelled or _over(one) is not None]:
                self._waiting.remove(sequence)
                if (over := _over(sequence)) is not None:
                    sequence.deliver(sequence, over)
            self._waiting.sort(key=lambda sequence: (sequence.request.priority, sequence.arrived))
            waiting = list(self._waiting)
        for sequence in waiting:
            if (free := self._free()) == 0:
                break
            if sequence not in self._waiting:
                continue
            # Who is free is asked anew for each: a sequence may have taken a place further back, where its prompt was known.
            place = self._best_place(sequence)
            others = self._company(sequence, place)
            if free < min(2, len(others), self._seats) and self._held < HELD_TURNS:
                self._held += 1
                break
            others = others[:free]
            if len(others) > 1 and self._open_batch(others):
                self._seated(others)
            elif place is not None:
                place.seat(sequence)
                self._seated([sequence])

    def _seated(self, sequences: list[Sequence]) -> None:
        self._held = 0
        with self._lock:
            for sequence in sequences:
                self._waiting.remove(sequence)

    def _best_place(self, sequence: Sequence) -> Place | None:
        """The free place that knows most of the prompt."""
        free = [place for place in self._places if place.sequence is None]
        return max(free, key=lambda place: place.known(sequence), default=None)

    def _company(self, sequence: Sequence, place: Place | None) -> list[Sequence]:
        """Whoever waits and can share a batch with `sequence`, itself first; nobody where it had rather sit alone."""

        def alone(one: Sequence) -> bool:
            best = place if one is sequence else self._best_place(one)
            return not batchable(self._native, one) or (best is not None and 2 * best.known(one) >= one.length)

        if self._limits.together < 2 or alone(sequence):
            return []
        behind = self._waiting[self._waiting.index(sequence) + 1 :]
        return alike(chain([sequence], (one for one in behind if not alone(one))), self._limits.together)

    def _open_batch(self, sequences: list[Sequence]) -> bool:
        try:
            self._batches.append(Batch(self._native, sequences))
        except (RuntimeError, MemoryError) as error:
            # No memory for their KV cache: each still has the place that was set aside at the start.
            self._log.warning("no batch", reason=str(error)[:200])
            return False
        return True

    def _turn_alone(self, place: Place, sequence: Sequence) -> None:
        """One token (or the prompt) of one sequence; whatever happens to it stays with it."""
        try:
            if self._leaves(sequence):
                place.leave()
                return
            place.advance(sequence)
        except errors.SlipwayError as error:
            sequence.deliver(sequence, error)
            place.leave()
        except Exception as error:  # noqa: BLE001 (the thread's edge: the caller is told, the thread lives on)
            self._broke(error, [sequence])
            place.leave()
        else:
            if sequence.finish is not None:
                place.leave()

    def _turn_together(self, batch: Batch) -> None:
        """One token of every sequence of a batch; a row that fails ends by itself, a step that fails ends them all."""
        for row in [row for row, sequence in batch.live.items() if self._leaves(sequence)]:
            batch.end(row)
        try:
            if batch.live:
                logits = batch.read()
                for row, sequence in list(batch.live.items()):
                    self._take(batch, row, sequence, logits[row : row + 1])
        except Exception as error:  # noqa: BLE001 (the thread's edge: the callers are told, the thread lives on)
            self._broke(error, list(batch.live.values()))
            self._batches.remove(batch)
            return
        if batch.live and not batch.spent:
            return
        self._batches.remove(batch)
        batch.close()
        with self._lock:
            self._waiting += batch.live.values()

    def _take(self, batch: Batch, row: int, sequence: Sequence, logits: Any) -> None:
        try:
            # A token a step, as every row: what a constraint leaves no choice about comes one by one, too.
            sequence.deliver(sequence, sequence.take(logits, burst=0))
        except errors.SlipwayError as error:
            sequence.deliver(sequence, error)
            batch.end(row)
        else:
            if sequence.finish is not None:
                batch.end(row)

    def _leaves(self, sequence: Sequence) -> bool:
        if (over := _over(sequence)) is not None:
            sequence.deliver(sequence, over)
        return over is not None or sequence.cancelled

    def _broke(self, error: Exception, sequences: list[Sequence]) -> None:
        self._log.error("decode failed", exc_info=error)
        for sequence in sequences:
            sequence.done = 0
            sequence.deliver(
                sequence, errors.UpstreamFailed("The engine failed while it generated this answer; try again.", code="engine_failed")
            )


def _over(sequence: Sequence) -> errors.SlipwayError | None:
    deadline = sequence.request.deadline
    late = deadline is not None and time.monotonic() > deadline
    return errors.DeadlineExceeded("The request's deadline passed before the answer was complete.") if late else None
