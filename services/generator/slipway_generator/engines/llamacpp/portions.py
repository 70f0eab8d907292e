"""Which part of a step's rows each prompt gets. It refuses to know the context and what is computed."""

from collections.abc import Sequence

from slipway_generator.engines.llamacpp.seat import Seated

LOGPROB_ROWS = 64
"""Prompt rows of one step whose logits are all wanted; bounds the output buffer."""


def portions(reading: Sequence[Seated], room: int, *, apart: bool) -> list[tuple[Seated, int]]:
    """At most `room` rows in all, in the order of `reading`; whoever gets none is not in the list, and every `chunk` is set to 0.

    `apart`: each slot has cells of its own. llama.cpp then computes rows of several sequences together only as far as all of them go, and what one has beyond
    is a pass over the weights of its own. A single row beyond the shortest waits for the next step, where it goes together with the answers' rows
    (`python -m slipway_generator.bench --cases short --streams 8`: TTFT p50 went from 0.85 to 1.11-1.15 times as good as llama-server's).
    """
    out: list[tuple[Seated, int]] = []
    for sequence in reading:
        sequence.chunk = 0
        rows = min(len(sequence.request.prompt) - sequence.done, room)
        if sequence.request.prompt_logprobs is not None:
            rows = min(rows, LOGPROB_ROWS)
        if rows > 0:
            out.append((sequence, rows))
            room -= rows
    least = min((rows for _, rows in out), default=0)
    return [(sequence, least if apart and rows == least + 1 and least > 1 else rows) for sequence, rows in out]
