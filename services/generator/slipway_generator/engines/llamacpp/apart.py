"""Whether a step of few rows is quicker as several decode calls of one row each: measured at the start, because it depends on the processor and on the weights' format.

Usually a second row costs little more, because the weights are read once for both. But llama.cpp computes a single row and several rows with different kernels, and
the latter can be by far the slower for few rows: with q8_0 on an AMD EPYC (AVX-512), 4 ms for one row and 17 for two. It refuses to know sequences.
"""

import time
from dataclasses import dataclass

import numpy as np

from slipway_generator.engines.llamacpp.context import Context

SIZES = (2, 4, 6, 8)
RUNS = 2
WORTH = 0.9
"""Rows apart must take less than this share of the time that they take together."""


@dataclass(frozen=True, slots=True)
class Apart:
    """Steps of up to `rows` rows are computed a row at a time (0: none are); `reason` has the milliseconds."""

    rows: int
    reason: str


def choose_apart(context: Context) -> Apart:
    """Time steps of growing size in the empty `context`, as far as single rows win; it is empty again afterwards."""
    one = _seconds(context, 1)
    said = [f"one row {1e3 * one:.2f} ms"]
    best = 0
    for rows in SIZES:
        together = _seconds(context, rows)
        said.append(f"{rows} rows {1e3 * together:.2f} ms")
        if rows * one >= WORTH * together:
            break
        best = rows
    return Apart(best, ", ".join(said))


def _seconds(context: Context, rows: int) -> float:
    """The quickest of a few steps, after one that is not counted."""
    seconds: list[float] = []
    for _ in range(RUNS + 1):
        context.begin()
        context.add(0, 0, np.zeros(rows, dtype=np.int32), logits="last")
        started = time.perf_counter()
        context.decode()
        seconds.append(time.perf_counter() - started)
        context.cut(0, 0)
    return min(seconds[1:])
