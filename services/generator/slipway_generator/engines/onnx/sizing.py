"""How many sequences share a batch on this machine with this model: a few steps of each size are timed at the start.

A small model gains nothing, because its steps cost less than what surrounds them. It refuses to know requests.
"""

import time
from dataclasses import dataclass

import numpy as np

from slipway_generator.engines.onnx.native import Native

SIZES = (2, 4)
STEPS = 3
PROMPT = 16
WORTH = 0.8
"""A token in a batch must cost less than this share of one alone,"""
WORTH_SECONDS = 0.25e-3
"""and so many seconds less: the memory of a new batch alone takes about 10 ms."""
LONGEST_GATHER = 5e-3


@dataclass(frozen=True, slots=True)
class Together:
    """`most` sequences share a batch (1: none do). `gather_seconds`: how long an idle engine waits for company after each arrival."""

    most: int
    gather_seconds: float
    reason: str


def choose_together(native: Native, asked: int | None, sequences: int) -> Together:
    """What was asked for, else what was measured."""
    sizes = [size for size in SIZES if size <= sequences]
    if native.filling is None or not sizes or asked == 1:
        return Together(1, 0.0, "as set" if asked == 1 else "the model names no padding token" if sizes else "one sequence at once")
    if asked is not None:
        return Together(min(asked, sequences), min(LONGEST_GATHER, step_seconds(native, 1)), "as set")
    alone = step_seconds(native, 1)
    each, best = min((step_seconds(native, size) / size, size) for size in sizes)
    said = f"{1e3 * alone:.2f} ms a token alone, {1e3 * each:.2f} ms in a batch of {best}"
    if pays(alone, each):
        return Together(best, min(LONGEST_GATHER, alone), said)
    return Together(1, 0.0, f"batches do not pay: {said}")


def pays(alone: float, each: float) -> bool:
    """Whether tokens of `each` seconds in a batch are worth it beside those of `alone` seconds."""
    return each < WORTH * alone and alone - each > WORTH_SECONDS


def step_seconds(native: Native, rows: int) -> float:
    """Seconds of a step of one token in each of `rows` rows after a short prompt; the fastest of a few."""
    generator = native.generator(rows, PROMPT + STEPS + 2)
    token = max(native.filling or (0, 0)) + 1
    generator.append(np.full((rows, PROMPT), token, dtype=np.int32))
    generator.logits()
    seconds: list[float] = []
    for _ in range(STEPS + 1):
        started = time.perf_counter()
        if rows == 1:
            generator.append(np.asarray([token], dtype=np.int32))
        else:
            generator.append_each(np.full(rows, token, dtype=np.int64))
        generator.logits()
        seconds.append(time.perf_counter() - started)
    return min(seconds)
