"""Definitions from the textbooks' glossaries: `allele: specific version of a gene`.

It knows how a glossary line looks and how people ask for a definition or for the term. It refuses to know books.
"""

import re
from collections.abc import Iterator
from random import Random

from slipway_training.rows import Ask, Page, Passage, usable

SOURCE = "openstax_text"
_LINE = re.compile(r"^([a-zA-Z][\w '’()/-]{2,48}): ([^\n]{15,220})$")
_DEFINE = (
    "What is {t}?", "What does {t} mean?", "Define {t}.", "How is {t} defined?", "What is meant by {t}?", "What is the meaning of {t}?", "Explain {t}.",
    "What do you call {t}?", "{T}?",
)  # fmt: skip
_NAME = ("Which term means {d}?", "What is the term for {d}?", "What is {d} called?", "What do we call {d}?", "What is the word for {d}?")


def entries(text: str) -> list[list[tuple[str, str]]]:
    """The glossaries of a book: runs of at least four `term: definition` lines, blank lines between them allowed."""
    runs: list[list[tuple[str, str]]] = [[]]
    for line in text.split("\n"):
        if not line.strip():
            continue
        found = _LINE.match(line.strip())
        if found and len(found.group(1).split()) <= 5:
            runs[-1].append((found.group(1).strip(), found.group(2).strip(" .")))
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if len(run) >= 4]


def glossary_pages(rng: Random, text: str) -> Iterator[Page]:
    """One page per glossary of a book; a passage holds one to five terms in one of three written forms."""
    for run in entries(text):
        rest = list(run)
        rng.shuffle(rest)
        passages: list[Passage] = []
        while rest:
            take = rng.randint(1, 5)
            passages.append(_passage(rng, rest[:take]))
            rest = rest[take:]
        for start in range(0, len(passages), 8):
            yield Page(SOURCE, usable(passages[start : start + 8]))


def _passage(rng: Random, terms: list[tuple[str, str]]) -> Passage:
    form = rng.choice(("{t}: {d}.", "- {t}: {d}", "**{t}**: {d}.", "{T} is {d}.", "| {t} | {d} |"))
    joiner = " " if form in ("{t}: {d}.", "{T} is {d}.") else "\n"
    text = joiner.join(form.format(t=t, d=d, T=t[:1].upper() + t[1:]) for t, d in terms)
    return Passage(text, tuple(ask for t, d in terms for ask in _asks(rng, t, d)))


def _asks(rng: Random, term: str, definition: str) -> list[Ask]:
    asks = [Ask(rng.choice(_DEFINE[:-2]).format(t=_with_article(rng, term), T=term), definition)]
    if rng.random() < 0.4:
        words = definition.split()
        asks.append(Ask(rng.choice(_NAME).format(d=" ".join(words[: rng.randint(6, 14)]).strip(" ,;(")), term))
    return asks


def _with_article(rng: Random, term: str) -> str:
    roll = rng.random()
    if roll < 0.4:
        return term
    return f"the {term}" if roll < 0.55 else f"{'an' if term[0].lower() in 'aeiou' else 'a'} {term}"
