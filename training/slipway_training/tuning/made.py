"""Self-made sums as conversations and preferences: what tiny runs and tests learn from, ours to give away.

It knows addition with two small numbers and the form `#### answer`. It refuses to be training text for anything that is kept.
"""

from random import Random
from typing import Any

_ASKS = ("What is {a} plus {b}?", "Add {a} and {b}.", "{a} apples and {b} more: how many?")


def conversation(seed: int) -> list[dict[str, str]]:
    """A question and its worked answer; the same seed gives the same."""
    rng = Random(f"sums/{seed}")
    a, b = rng.randrange(1, 10), rng.randrange(1, 10)
    question = rng.choice(_ASKS).format(a=a, b=b)
    return [{"role": "user", "content": question}, {"role": "assistant", "content": f"{a} + {b} = {a + b}\n#### {a + b}"}]


def conversations(count: int) -> list[dict[str, Any]]:
    """Rows with `messages`."""
    return [{"messages": conversation(seed)} for seed in range(count)]


def preferences(count: int) -> list[dict[str, Any]]:
    """Rows with `prompt`, `chosen` (the right sum), `rejected` (a wrong one, without its form)."""
    rows: list[dict[str, Any]] = []
    for seed in range(count):
        asked, said = conversation(seed)
        wrong = int(said["content"].rsplit(" ", 1)[1]) + 1 + seed % 3
        rows.append({"prompt": [asked], "chosen": [said], "rejected": [{"role": "assistant", "content": f"It is {wrong}"}]})
    return rows
