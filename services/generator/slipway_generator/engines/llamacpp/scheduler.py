"""The decode thread: who is in the batch, what each step computes, and what everybody gets for it.

A step is one decode call: first one row (and drafts) for every sequence that is answering, then prompt rows, bounded so that answers keep flowing.
Waiting requests are admitted by priority and age when the KV memory can promise them their worst case, so nothing is ever preempted.
It refuses to know the event loop: callers are told through `Sequence.deliver`.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from slipway_shared import errors

from slipway_generator.engine import EngineLoad
from slipway_generator.engines.llamacpp.arrivals import Arrivals
from slipway_generator.engines.llamacpp.context import Context, DecodeFailed
from slipway_generator.engines.llamacpp.drafter import Drafter
from slipway_generator.engines.llamacpp.holding import ready
from slipway_generator.engines.llamacpp.memory import KvMemory
from slipway_generator.engines.llamacpp.portions import portions
from slipway_generator.engines.llamacpp.seat import Seated
from slipway_generator.engines.llamacpp.speculation import Speculation
from slipway_generator.engines.llamacpp.turns import Turns

MAX_FAILURES = 3
"""Decode calls that may fail one after the other before the engine says that it is broken."""
FORCED_ROWS = 8
"""Tokens that a step may read over all answers because their constraints leave no choice. In a full batch an answer then gains a token a step as any other, and
nobody waits for its neighbours' forms (each such run is a pass over the weights of its own, which saves nothing there); alone it gains them in a burst."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one step and the queue may hold. While more than `draft_sequences` run, drafts only fill what a step has to spare (`filling.py`)."""

    sequences: int
    waiting: int
    rows: int
    chunk: int
    draft_sequences: int = 2


class Scheduler:
    """Owns the context and every sequence, on a thread of its own."""

    def __init__(
        self, context: Context, memory: KvMemory, limits: Limits, flush: Callable[[], None], log: Any, drafter: Drafter | None = None
    ) -> None:
        self._context = context
        self._speculation = Speculation(drafter, limits.draft_sequences, log)
        self._memory = memory
        self._limits = limits
        self._flush = flush
        self._log = log
        self._arrivals = Arrivals()
        self._waiting: list[Seated] = []
        self._running: list[Seated] = []
        self._leaving: list[Seated] = []
        self.turns = Turns(context, self._arrivals.wake)
        self._failures = 0
        self._problem: str | None = None
        self._thread = threading.Thread(target=self._live, name="decode", daemon=True)

    def start(self) -> None:
        """Begin to decode."""
        self._thread.start()

    def submit(self, sequence: Seated) -> None:
        """Queue a sequence; raises Overloaded when the queue is full, ContextOverflow when it could never run."""
        if not self._memory.fits_ever(sequence):
            raise errors.ContextOverflow(f"The request needs {sequence.need} tokens of memory; this generator has {self._memory.total}.")
        self._arrivals.put(sequence, self._check_room)

    def _check_room(self) -> None:
        if self._arrivals.closing or self._problem is not None:
            raise errors.Overloaded("The engine is stopping; try again.", code="engine_failed")
        queued = len(self._waiting) + len(self._arrivals)
        if queued >= self._limits.waiting + max(0, self._limits.sequences - len(self._running)):
            raise errors.QueueFull("The queue is full; try again.", retry_after_seconds=1.0 + queued / 8)

    def cancel(self, sequence: Seated) -> None:
        """The caller left; the sequence is gone before the next step."""
        sequence.cancelled = True
        self._arrivals.wake()

    def load(self) -> EngineLoad:
        """What runs now. Counts are read without the lock: each is right by itself."""
        held = sum(sequence.done for sequence in list(self._running))
        waiting = len(self._waiting) + len(self._arrivals)
        return EngineLoad(len(self._running), waiting, min(1.0, held / self._memory.total), self._problem, self._memory.kept_bytes)

    def close(self) -> None:
        """End every sequence and the thread."""
        self._arrivals.close()
        if self._thread.is_alive():
            self._thread.join()

    def _live(self) -> None:
        while self._collect():
            try:
                self.turns.run_errands()
                self._sweep()
                self._release()  # whoever is admitted now may need the slot of one who left
                self._admit()
                if self._running:
                    self._step()
            except Exception as error:  # noqa: BLE001 (the thread's edge: whatever broke, callers are told and the thread lives on)
                self._fail(error)
            self._flush()
            self._release()
        self.turns.run_errands()
        for sequence in (*self._running, *self._waiting):
            self._end(sequence, errors.Overloaded("This instance is shutting down; try again.", code="draining"))
        self._flush()

    def _collect(self) -> bool:
        """Wait for work; False when it is time to end."""
        self._waiting += self._arrivals.collect(lambda: bool(self._waiting or self._running or self.turns.pending), self._limits.sequences)
        return not self._arrivals.closing

    def _sweep(self) -> None:
        """Drop who left or is overdue."""
        now = time.monotonic()
        for sequence in (*self._running, *self._waiting):
            if sequence.cancelled:
                self._end(sequence, None)
            elif sequence.request.deadline is not None and now > sequence.request.deadline:
                self._end(sequence, errors.DeadlineExceeded("The request's deadline passed before the answer was complete."))

    def _admit(self) -> None:
        self._waiting.sort(key=lambda sequence: (sequence.request.priority, sequence.arrived))
        for sequence in list(self._waiting):
            if len(self._running) >= self._limits.sequences:
                return
            if self._memory.awaits(sequence, self._running):
                continue
            if not self._memory.admit(sequence, self._running):
                return  # in order: a small request does not overtake a large one for ever
            self._waiting.remove(sequence)
            self._running.append(sequence)

    def _step(self) -> None:
        self._memory.compact(self._running)
        adapter = self.turns.next(sequence.request.adapter for sequence in self._running)
        batch = [sequence for sequence in self._running if sequence.request.adapter == adapter]
        # In the order of slots, because llama.cpp computes only ascending neighbours together.
        reading = [sequence for sequence in batch if sequence.prefilling]
        answering = ready(sorted((sequence for sequence in batch if not sequence.prefilling), key=lambda sequence: sequence.slot), reading)
        self._context.begin()
        self._speculation.propose(answering, len(self._running))
        for sequence in answering:
            self._add_answer(sequence)
        # Answers keep flowing, but more slowly where more wait for their first word.
        most = self._limits.chunk * (2 if len(reading) > len(answering) else 1) if answering else self._limits.rows
        room = min(most, self._limits.rows - self._context.rows)
        for sequence, rows in portions(reading, room, apart=not self._context.pooled):
            self._add_prompt(sequence, rows)
        logits = self._decode()
        for sequence in answering:
            self._take_answer(sequence, logits)
        for sequence in reading:
            self._take_prompt(sequence, logits)
        self._speculation.note(answering, read=bool(reading))

    def _add_answer(self, sequence: Seated) -> None:
        fresh = sequence.tokens[sequence.done : sequence.length]
        sequence.unread, sequence.flowing = len(fresh), True
        sequence.output = self._context.add(sequence.slot, sequence.done, fresh, logits="last" if sequence.draws else "none")
        if len(sequence.draft):
            self._context.add(sequence.slot, sequence.length, sequence.draft, logits="all")
        sequence.chunk = int(sequence.draws) + len(sequence.draft)

    def _add_prompt(self, sequence: Seated, rows: int) -> None:
        prompt = len(sequence.request.prompt)
        scored = sequence.request.prompt_logprobs is not None
        sequence.chunk = rows
        if sequence.started is None:
            sequence.started = time.monotonic()
        end = sequence.done + sequence.chunk
        logits = "all" if scored else "last" if end == prompt else "none"
        sequence.output = self._context.add(sequence.slot, sequence.done, sequence.tokens[sequence.done : end], logits=logits)

    def _decode(self) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
        logits = self._context.decode()
        self._failures = 0
        return logits

    def _take_answer(self, sequence: Seated, logits: np.ndarray[tuple[int, int], np.dtype[np.float32]]) -> None:
        sequence.done += sequence.unread
        self._take(sequence, logits[sequence.output : sequence.output + sequence.chunk])
        if sequence.slot >= 0 and len(sequence.draft):
            self._memory.trim(sequence)

    def _take_prompt(self, sequence: Seated, logits: np.ndarray[tuple[int, int], np.dtype[np.float32]]) -> None:
        if sequence.chunk == 0:
            return
        start, sequence.done = sequence.done, sequence.done + sequence.chunk
        scored = sequence.request.prompt_logprobs is not None
        if scored:
            sequence.note_prompt(logits[sequence.output : sequence.output + sequence.chunk], start)
        if not sequence.prefilling:
            last = sequence.output + (sequence.chunk - 1 if scored else 0)
            self._take(sequence, logits[last : last + 1])

    def _take(self, sequence: Seated, rows: np.ndarray[tuple[int, int], np.dtype[np.float32]]) -> None:
        try:
            burst = FORCED_ROWS // max(1, len(self._running)) - 1
            delta = sequence.take(rows, max(0, burst)) if sequence.request.max_tokens else sequence.empty()
        except errors.SlipwayError as error:
            self._end(sequence, error)
            return
        sequence.deliver(sequence, delta)
        if sequence.finish is not None:
            self._end(sequence, None)

    def _end(self, sequence: Seated, error: errors.SlipwayError | None) -> None:
        for among in (self._running, self._waiting):
            if sequence in among:
                among.remove(sequence)
        self._leaving.append(sequence)
        if error is not None:
            sequence.deliver(sequence, error)

    def _release(self) -> None:
        """Keep what those who ended have computed, and free their slots. It takes about a millisecond each, which nobody's last words need to wait for."""
        while self._leaving:
            self._memory.release(self._leaving.pop())

    def _fail(self, error: Exception) -> None:
        """A step broke: every sequence in it is told, and the memory starts anew."""
        self._log.error("decode failed", exc_info=error)
        self._failures += 1
        broken, self._running = self._running, []
        self._memory.discard((*broken, *self._leaving))
        self._leaving.clear()
        for sequence in broken:
            sequence.deliver(
                sequence, errors.UpstreamFailed("The engine failed while it generated this answer; try again.", code="engine_failed")
            )
        if self._failures >= MAX_FAILURES or (isinstance(error, DecodeFailed) and error.code < -1):
            self._problem = "the engine failed repeatedly"
