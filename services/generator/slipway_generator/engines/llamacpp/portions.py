"""Which part of a step's rows each prompt gets. It refuses to know the context and what is computed."""

from collections.abc import Sequence
from itertools import groupby

from slipway_generator.engines.llamacpp.seat import Seated

LOGPROB_ROWS = 64
"""Prompt rows of one step whose logits are all wanted; bounds the output buffer."""


def portions(reading: Sequence[Seated], room: int, *, apart: bool) -> list[tuple[Seated, int]]:
    """At most `room` rows in all, in the order of `reading`; whoever gets none is not in the list, and every `chunk` is set to 0.

    Prompts of one priority are read side by side, in equal shares (processor sharing): a short one is through at once whatever came before it, and those
    of one length begin to answer together. What is left goes to the next priority.

    `apart`: each slot has cells of its own. llama.cpp then computes rows of several sequences together only as far as all of them go, and what one has beyond
    is a pass over the weights of its own. A single row beyond the shortest waits for the next step, where it goes together with the answers' rows
    (`python -m slipway_generator.bench --cases short --streams 8`: TTFT p50 went from 0.85 to 1.11-1.15 times as good as llama-server's).
    """
    wanted: dict[int, int] = {}
    for at, sequence in enumerate(reading):
        sequence.chunk = 0
        rows = len(sequence.request.prompt) - sequence.done
        wanted[at] = min(rows, LOGPROB_ROWS) if sequence.request.prompt_logprobs is not None else rows
    given: dict[int, int] = {}
    for _, group in groupby(sorted(wanted, key=lambda at: reading[at].request.priority), key=lambda at: reading[at].request.priority):
        members = list(group)
        given.update(zip(members, shares([wanted[at] for at in members], room), strict=True))
        room -= sum(given[at] for at in members)
    out = [(reading[at], given[at]) for at in wanted if given[at] > 0]
    least = min((rows for _, rows in out), default=0)
    return [(sequence, least if apart and rows == least + 1 and least > 1 else rows) for sequence, rows in out]


def shares(wanted: Sequence[int], room: int) -> list[int]:
    """As many rows for each as fit, nobody more than is wanted (max-min fairness). Where there are fewer rows than askers, the first get one each."""
    if room < len(wanted):
        return [int(at < room) for at in range(len(wanted))]
    level, left, askers = 0, room, sorted(wanted)
    for at, rows in enumerate(askers):
        level = left // (len(askers) - at)
        if rows > level:
            break
        left -= rows
    else:
        return list(wanted)
    return [min(rows, level) for rows in wanted]
