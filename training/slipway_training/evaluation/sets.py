"""The evaluation sets: SQuAD validation with distractors, held-out factbook countries, and unanswerable forms of both.

It knows how an item is put together; everything is drawn from a fixed seed, so that two readers see the same inputs.
It refuses to know how replies are scored. Contexts of `squad_validation.jsonl` and held-out countries never enter training.
"""

from collections.abc import Callable
from pathlib import Path
from random import Random

from slipway_training.errors import ConfigError
from slipway_training.evaluation.scores import Item
from slipway_training.rows import Page, Passage
from slipway_training.sources.factbook import factbook_pages
from slipway_training.sources.lookup import lookup_pages
from slipway_training.sources.squad import SquadRow, read_squad
from slipway_training.sources.text import chunks, sentences

PASSAGES = 4
SEED = 2026


def build_set(name: str, root: Path | None) -> list[Item]:
    """One set by name: `squad_sample_validation`, `factbook_held_out` (both need the data folder) or `lookup_unseen` (self-made)."""
    match name:
        case "squad_sample_validation" if root:
            return squad_items(read_squad(root / "squad_sample" / "squad_validation.jsonl"), Random(SEED))
        case "factbook_held_out" if root:
            return page_items(list(factbook_pages(Random(SEED), root / "factbook", True)), Random(SEED), 300)
        case "lookup_unseen":
            return page_items(list(lookup_pages(Random(SEED), 200)), Random(SEED), 200)
        case _:
            raise ConfigError(f"no evaluation set {name!r}, or no data folder for it")


def squad_items(rows: list[SquadRow], rng: Random) -> list[Item]:
    """Two items per row: with the gold passage among three distractors, and the same without it (unanswerable).

    A long context is cut to the 40-120 words around the answer, which is what a retriever hands over.
    """
    golds = [_around(row) for row in rows]
    out: list[Item] = []
    for row, gold in zip(rows, golds, strict=True):
        others = [g for g in golds if not any(a in g for a in row.answers) and g != gold]
        distractors = rng.sample(others, k=min(PASSAGES, len(others)))
        number = rng.randint(1, PASSAGES)
        shown = [*distractors[: number - 1], gold, *distractors[number - 1 : PASSAGES - 1]]
        out.append(Item(tuple(shown), row.question, row.answers, number))
        out.append(Item(tuple(distractors), row.question, (), 0))
    return out


def _around(row: SquadRow) -> str:
    for group in chunks(sentences(row.context), low=40, high=120):
        text = " ".join(group)
        if row.answers[0] in text:
            return text
    return row.context


def page_items(pages: list[Page], rng: Random, count: int) -> list[Item]:
    """`count` items over random pages, a fifth unanswerable: the gold passage is replaced by another of its page."""
    usable = [p for p in pages if len(p.passages) > PASSAGES and any(q.asks for q in p.passages)]
    out: list[Item] = []
    while len(out) < count and usable:
        page = rng.choice(usable)
        gold = rng.choice([p for p in page.passages if p.asks])
        ask = rng.choice(gold.asks)
        others = [p for p in page.passages if p is not gold and ask.question not in {a.question for a in p.asks}]
        if len(others) < PASSAGES:
            continue
        out.append(_item(rng, gold, rng.sample(others, k=PASSAGES), ask.question, ask.answer, rng.random() < 0.2))
    return out


def _item(rng: Random, gold: Passage, others: list[Passage], question: str, answer: str, without: bool) -> Item:
    if without:
        return Item(tuple(p.text for p in others), question, (), 0)
    number = rng.randint(1, PASSAGES)
    shown = [*others[: number - 1], gold, *others[number - 1 : PASSAGES - 1]]
    return Item(tuple(p.text for p in shown), question, (answer,), number)


def answers(items: list[Item], reply: Callable[[tuple[str, ...], str], str], tick: Callable[[], None]) -> list[str]:
    """The replies of one reader to all items, in order."""
    out: list[str] = []
    for item in items:
        out.append(reply(item.passages, item.question))
        tick()
    return out
