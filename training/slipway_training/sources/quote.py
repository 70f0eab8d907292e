"""Questions that are answered by a whole sentence of the passage.

They give many copied tokens per row, which is how the copying circuit forms early; and a reader is asked such things ("what does it say about...").
It knows sentences and lines. It refuses to know where they come from.
"""

import re
from random import Random

from slipway_training.rows import Ask
from slipway_training.sources.text import sentences

_FORMS = (
    "What is said about {x}?", "What does the source say about {x}?", "Tell me about {x}.", "Quote the sentence about {x}.", "What do we know about {x}?",
    "{x}?", "What about {x}?",
)  # fmt: skip
_WORD = re.compile(r"[\w`/.-]+")
_LIGHT = frozenset(
    {*"the a an of in to and that which is was were are by for on with as its their this these it from at be or you".split()}
)


def quote_ask(rng: Random, text: str) -> Ask | None:
    """One question whose answer is a sentence or line of `text` of 4-32 words; None when there is no such sentence."""
    parts = [s.strip(" -|#*.") for line in text.split("\n") for s in sentences(line)]
    parts = [s for s in parts if 4 <= len(s.split()) <= 32 and text.count(s) == 1]
    if not parts:
        return None
    sentence = rng.choice(parts)
    words = _WORD.findall(sentence)
    if len(words) < 3:
        return None
    start = rng.randrange(len(words) - 1)
    topic = words[start : start + rng.randint(1, 4)]
    while topic and topic[0].lower() in _LIGHT:
        topic = topic[1:]
    while topic and topic[-1].lower() in _LIGHT:
        topic = topic[:-1]
    return Ask(rng.choice(_FORMS).format(x=" ".join(topic)), sentence) if topic else None
