"""Which answers wait after their first word until the prompts that came with them are read. It refuses to know the context and what is computed.

A step that reads costs many times what a step of answers costs. An answer that goes on between such steps stutters, and each of its words is a pass over the
weights for a few rows. So whoever is read first says its first word at once, and goes on when those are read that had come by then: one pause
instead of many, and a batch that is full from then on. An answer that flows is never held, and nobody who comes later prolongs the wait.
"""

from collections.abc import Sequence

from slipway_generator.engines.llamacpp.seat import Seated

MOST_ROWS = 4096
"""Where more prompt rows than these are left (some seconds of reading), answers go on between the steps that read."""


def ready(answering: Sequence[Seated], reading: Sequence[Seated]) -> list[Seated]:
    """Those of `answering` that go on in this step."""
    if not reading:
        return list(answering)
    left = sum(len(sequence.request.prompt) - sequence.done for sequence in reading)
    if left > MOST_ROWS:
        return list(answering)
    first = min(sequence.arrived for sequence in reading)
    return [sequence for sequence in answering if sequence.flowing or sequence.first_token is None or first > sequence.first_token]
