"""From pages to lists: a question, the passages that it is asked over, and where the answer stands.

It knows how distractors are chosen: neighbours of the same page, and passages of the whole source that share the question's rare words, as a retriever
would return them. It refuses to know tokens and where pages come from.
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from slipway_shared.grounding import fence, normalise

from slipway_training.rows import Ask, Page, Passage, find_words

TRIES = 8
LIKE = 12
"""How many look-alikes a hard distractor is drawn from."""


@dataclass(frozen=True, slots=True)
class AskList:
    """`gold` is the place of the passage that answers, -1 when none does; `spans` are the (start, end) characters of the answer in it."""

    source: str
    question: str
    passages: tuple[str, ...]
    gold: int
    spans: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Shape:
    """How many passages a list has, the share without an answer, and the share of distractors that look like the question."""

    passages: int
    unanswerable: float
    hard: float


class Source:
    """All passages of one source, with an inverted list of its words."""

    def __init__(self, name: str, pages: Sequence[Page]) -> None:
        self.name = name
        self._asked = [(page, passage) for page in pages for passage in page.passages if passage.asks]
        texts = dict.fromkeys(fence(p.text) for page in pages for p in page.passages)
        self._texts = list(texts)
        self._lists: defaultdict[str, list[int]] = defaultdict(list)
        for number, text in enumerate(self._texts):
            for word in set(normalise(text).split()):
                self._lists[word].append(number)

    def __len__(self) -> int:
        return len(self._asked)

    def lists(self, rng: Random, shape: Shape) -> Iterator[AskList]:
        """One list after another without end, every passage asked about as often as every other; nothing for a source without questions."""
        while self._asked:
            for page, passage in rng.sample(self._asked, k=len(self._asked)):
                if made := self._list(rng, page, passage, shape):
                    yield made

    def _list(self, rng: Random, page: Page, passage: Passage, shape: Shape) -> AskList | None:
        ask = rng.choice(passage.asks)
        text = fence(passage.text)
        spans = occurrences(text, fence(ask.answer))
        if not spans:
            return None
        without = rng.random() < shape.unanswerable
        others = self._distractors(rng, page, passage, ask, shape, shape.passages - (0 if without else 1))
        if without:
            return AskList(self.name, ask.question, tuple(others), -1, ())
        gold = rng.randint(0, len(others))
        return AskList(self.name, ask.question, (*others[:gold], text, *others[gold:]), gold, spans)

    def _distractors(self, rng: Random, page: Page, gold: Passage, ask: Ask, shape: Shape, count: int) -> list[str]:
        """`count` passages in which the answer does not stand, so that "not held" is true."""
        answer, text = normalise(ask.answer), fence(gold.text)
        near = [fence(p.text) for p in page.passages if p is not gold and all(a.question != ask.question for a in p.asks)]
        alike = self._alike(ask.question)
        out: list[str] = []
        for _ in range(count * TRIES):
            if len(out) == count:
                break
            pool = alike if alike and rng.random() < shape.hard else near or self._texts
            found = rng.choice(pool)
            if found != text and found not in out and f" {answer} " not in f" {normalise(found)} ":
                out.append(found)
        while len(out) < count:
            out.append(rng.choice(self._texts))
        return out

    def _alike(self, question: str) -> list[str]:
        """The passages with the most of the question's rare words."""
        scores: defaultdict[int, float] = defaultdict(float)
        for word in set(normalise(question).split()):
            places = self._lists.get(word, [])
            if places and len(places) <= max(20, len(self._texts) // 8):
                weight = math.log(1 + len(self._texts) / len(places))
                for number in places:
                    scores[number] += weight
        return [self._texts[number] for number in sorted(scores, key=lambda number: (-scores[number], number))[:LIKE]]


def occurrences(text: str, answer: str) -> tuple[tuple[int, int], ...]:
    """Every (start, end) at which `answer` stands in `text` as whole words, up to eight."""
    out: list[tuple[int, int]] = []
    start = 0
    while answer and len(out) < 8 and (at := find_words(text[start:], answer)) >= 0:
        out.append((start + at, start + at + len(answer)))
        start += at + len(answer)
    return tuple(out)


def mixed(rng: Random, sources: Sequence[Source], weights: dict[str, float], shape: Shape) -> Iterator[AskList]:
    """Lists of all sources by weight, without end."""
    streams = {source.name: source.lists(Random(rng.random()), shape) for source in sources if len(source)}
    names = list(streams)
    while names:
        yield next(streams[rng.choices(names, [weights[name] for name in names])[0]])
