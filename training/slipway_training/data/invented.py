"""Self-made prose for tiny runs, examples and tests: plain English sentences about nothing, different at every seed, ours to give away.

It knows a few hundred words and one grammar. It refuses to be training text for anything that is kept.
"""

from random import Random

_NOUNS = (
    "river engineer library tower harbour committee neighbour ship lamp field winter bridge candle garden market village mountain window paper silver "
    "morning forest engine bottle pocket shadow signal valley teacher orchard kettle ladder compass island meadow stove carpet blanket violin mirror "
    "barrel cottage fountain hammer journey kitchen lantern needle painter quarry ribbon saddle tailor uncle vessel wagon yard zebra anchor basket cellar"
).split()
_ADJECTIVES = (
    "old careful small northern quiet broken second yellow heavy narrow patient distant bright hollow wooden gentle famous crooked empty early foreign "
    "honest icy jolly kind large muddy noble orange proud round salty tired useful vast warm young ancient brave calm"
).split()
_VERBS = (
    "measured described followed built carried explained found visited remembered painted repaired watched borrowed counted covered crossed drew entered "
    "filled guarded heard inspected joined kept lifted mended noticed opened praised questioned reached sold taught understood valued washed"
).split()
_PLACES = "near behind above under beside beyond before against inside around".split()
_TIMES = (
    "in the spring|after dinner|before the rain began|with some patience|that evening|for many years|by the end of the week|without a word|because the "
    "road was closed|and that was enough|as it had to be|when the bells rang|in less than an hour|to be certain|until the lights went out"
).split("|")


def sentence(rng: Random) -> str:
    """One sentence of about fifteen words."""

    def thing() -> str:
        return f"the {rng.choice(_ADJECTIVES)} {rng.choice(_NOUNS)}"

    said = f"{thing()} {rng.choice(_VERBS)} {thing()} of {thing()} {rng.choice(_PLACES)} {thing()} {rng.choice(_TIMES)}"
    return f"{said[0].upper()}{said[1:]}."


def prose(seed: int, sentences: int = 12) -> str:
    """Paragraphs of four sentences; the same seed gives the same text."""
    rng = Random(f"invented/{seed}")
    lines = [sentence(rng) for _ in range(sentences)]
    return "\n\n".join(" ".join(lines[i : i + 4]) for i in range(0, sentences, 4))
