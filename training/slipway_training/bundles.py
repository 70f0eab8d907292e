"""From pages to bundles: which passages are shown together, in which order, and which questions nobody answers.

It knows distractors (from the same page first), the uniform place of the gold passage, and the unanswerable share (the gold passage is withheld).
It refuses to know the sources behind the pages, and tokens.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from slipway_shared.grounding import fence

from slipway_training.rows import Ask, Bundle, Page, Passage, Turn, abstained, quoted
from slipway_training.sources.quote import quote_ask

NO_PASSAGES_SHARE = 0.01
"""Share of bundles without any passage: a reader that was given nothing must say so."""


ECHO_FORMS = ("Repeat passage {n}.", "Quote passage {n} in full.", "What does passage {n} say?", "Show me source {n}.")
"""Asking for a whole passage: many copied tokens per question, which is how copying is learned before looking up (short rows first)."""


@dataclass(frozen=True, slots=True)
class Shape:
    """How large the bundles of one stage are. `words` bounds all passages together; a token is about 0.6 words in this vocabulary."""

    passages: tuple[int, int]
    words: int
    turns: int
    abstain_share: float = 0.2
    quote_share: float = 0.15
    echo_share: float = 0.0


def bundles(rng: Random, pages: Sequence[Page], shape: Shape) -> Iterator[Bundle]:
    """One bundle after another, each page used about as often as every other, without end; nothing when no page has a question."""
    pages = [p for p in pages if any(q.asks for q in p.passages)]
    while pages:
        for page in rng.sample(pages, k=len(pages)):
            made = bundle(rng, page, rng.choice(pages), shape)
            if made is not None:
                yield made


def bundle(rng: Random, page: Page, other: Page, shape: Shape) -> Bundle | None:
    """One bundle out of `page`, filled up from `other` in some cases; None when the page is too poor."""
    if rng.random() < NO_PASSAGES_SHARE:
        return _without_passages(rng, page)
    shown, withheld = _choose(rng, page, other, shape)
    if not shown:
        return None
    turns = [t for t in (_turn(rng, shown, withheld, shape) for _ in range(shape.turns)) if t is not None]
    turns = list({t.question: t for t in turns}.values())
    return Bundle(page.source, tuple(p.text for p in shown), tuple(turns)) if turns else None


def _without_passages(rng: Random, page: Page) -> Bundle:
    asks = [a for p in page.passages for a in p.asks]
    return Bundle(page.source, (), tuple(Turn(a.question, abstained(), 0) for a in rng.sample(asks, k=min(2, len(asks)))))


def _choose(rng: Random, page: Page, other: Page, shape: Shape) -> tuple[list[Passage], list[Passage]]:
    """(shown in random order, withheld): up to two passages with questions are withheld from the very same page."""
    wanted = rng.randint(*shape.passages)
    pool = rng.sample(page.passages, k=len(page.passages))
    asked = [p for p in pool if p.asks]
    withheld = asked[1 : 1 + min(2, max(0, len(asked) - wanted))] if len(asked) > 1 else []
    rest = [p for p in pool if p not in withheld]
    strangers = rng.sample(other.passages, k=min(2, len(other.passages))) if other is not page and rng.random() < 0.3 else []
    rest = [*asked[:1], *strangers, *(p for p in rest if p is not (asked[0] if asked else None))]
    shown: list[Passage] = []
    words = 0
    for passage in rest:
        size = len(passage.text.split())
        if len(shown) < wanted and words + size <= shape.words:
            shown.append(passage)
            words += size
    rng.shuffle(shown)
    return shown, withheld


def _turn(rng: Random, shown: list[Passage], withheld: list[Passage], shape: Shape) -> Turn | None:
    if withheld and rng.random() < shape.abstain_share:
        ask = rng.choice(rng.choice(withheld).asks)
        return Turn(ask.question, abstained(), 0)
    number = rng.randint(1, len(shown))
    passage = shown[number - 1]
    roll = rng.random()
    if roll < shape.echo_share:
        ask: Ask | None = Ask(rng.choice(ECHO_FORMS).format(n=number), fence(passage.text))
    else:
        ask = quote_ask(rng, passage.text) if roll < shape.echo_share + shape.quote_share else None
    if ask is None and passage.asks:
        ask = rng.choice(passage.asks)
    reply = quoted(passage.text, ask.answer, number) if ask else None
    return Turn(ask.question, reply, number) if ask and reply else None
