"""Invented documentation: facts about invented parts in many sentence forms, and questions about them.

It teaches what a reader of a few million parameters must do at all: find the passage that speaks of the thing asked for, and copy the words.
Values are random, so nothing can be learned by heart. It knows how a page of facts is written as prose, bullets or a table.
It refuses to know tokens and the real world.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

from slipway_training.rows import Ask, Page, Passage, usable
from slipway_training.sources import invent
from slipway_training.sources.frames import FRAMES, Frame

SOURCE = "lookup"
FILLERS = (
    "This page is kept short on purpose.", "Everything else is described further below.", "Ask the team before you change this.",
    "The order of the steps matters.", "A restart is needed after a change.", "Older releases behaved in another way.", "See also the notes on upgrades.",
    "Both forms are accepted.", "Nothing else has to be installed.", "The values below are the shipped ones.", "It is safe to run this twice.",
    "Errors are written to the log.", "Most users never need this.",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Fact:
    """One invented fact: who or what it is about, and its value."""

    frame: Frame
    subject: str
    third: str
    value: str

    def say(self, template: str) -> str:
        """`template` with the fact filled in."""
        return template.format(e=self.subject, t=self.third, v=self.value, E=self.subject[:1].upper() + self.subject[1:])


def lookup_pages(rng: Random, count: int) -> Iterator[Page]:
    """`count` pages of six to eight passages each; a page never speaks twice of the same thing in the same respect."""
    for _ in range(count):
        facts = _facts(rng, rng.randint(14, 30))
        passages: list[Passage] = []
        while facts and len(passages) < 8:
            take = rng.randint(1, 5)
            passages.append(_passage(rng, facts[:take]))
            facts = facts[take:]
        yield Page(SOURCE, usable(passages))


def _facts(rng: Random, count: int) -> list[Fact]:
    """Facts over few subjects and few frames, so that each has near neighbours: same subject, other respect, and the other way round."""
    frames = rng.sample(FRAMES, k=rng.randint(3, 7))
    things = list(dict.fromkeys(invent.thing(rng) for _ in range(rng.randint(4, 9))))
    seen: set[tuple[str, str]] = set()
    out: list[Fact] = []
    for _ in range(count):
        frame = rng.choice(frames)
        fact = _fact(rng, frame, things)
        if (frame.name, fact.subject) in seen:
            continue
        seen.add((frame.name, fact.subject))
        out.append(fact)
    rng.shuffle(out)
    return out


def _fact(rng: Random, frame: Frame, things: list[str]) -> Fact:
    value = VALUES[frame.value](rng)
    if frame.about == "deed":
        deed = invent.deed(rng)
        return Fact(frame, deed.base, deed.third, value)
    return Fact(frame, rng.choice(things), "", value)


def _passage(rng: Random, facts: list[Fact]) -> Passage:
    form = rng.random()
    if form < 0.6:
        parts = [fact.say(rng.choice(fact.frame.statements)) for fact in facts]
        if rng.random() < 0.4:
            parts.insert(rng.randint(0, len(parts)), rng.choice(FILLERS))
        text = " ".join(parts)
    elif form < 0.8:
        text = "\n".join(f"- {fact.say(rng.choice(fact.frame.statements))}" for fact in facts)
    else:
        text = "\n".join(["| what | value |", "|---|---|"] * (rng.random() < 0.5) + [_table_row(rng, fact) for fact in facts])
    heading = f"{'#' * rng.randint(1, 3)} {invent.thing(rng).capitalize()}\n" if rng.random() < 0.35 else ""
    return Passage(heading + text, tuple(ask for fact in facts for ask in _asks(rng, fact)))


def _table_row(rng: Random, fact: Fact) -> str:
    return fact.say(rng.choice(fact.frame.rows))


def _asks(rng: Random, fact: Fact) -> list[Ask]:
    asks = [
        Ask(_ask_form(rng, fact.say(question)), fact.value)
        for question in rng.sample(fact.frame.questions, k=min(2, len(fact.frame.questions)))
    ]
    if fact.frame.reverse and rng.random() < 0.3:
        # A deed stands in one of two verb forms; the one that the passage does not hold is dropped by `usable`.
        question = _ask_form(rng, fact.say(rng.choice(fact.frame.reverse)))
        asks += [Ask(question, words) for words in (fact.third, fact.subject) if words]
    return asks


def _ask_form(rng: Random, question: str) -> str:
    """People also ask in lower case, without a question mark, or in a few words."""
    roll = rng.random()
    if roll < 0.08:
        question = question.lower()
    if 0.04 < roll < 0.14:
        question = question.rstrip("?")
    return question


def _unit(*units: str) -> Callable[[Random], str]:
    return lambda rng: f"{invent.number(rng)} {rng.choice(units)}"


VALUES: dict[str, Callable[[Random], str]] = {
    "port": lambda rng: str(rng.randint(80, 65000)),
    "number": invent.number,
    "seconds": _unit("seconds", "minutes", "hours", "ms", "days", "s"),
    "size": _unit("MB", "GB", "KiB", "bytes", "tokens", "rows", "requests", "MiB"),
    "percent": lambda rng: f"{invent.number(rng)}{rng.choice((' %', '%', ' percent'))}",
    "version": lambda rng: ".".join(str(rng.randint(0, 40)) for _ in range(rng.choice((2, 3)))),
    "person": invent.person,
    "date": invent.date,
    "place": lambda rng: rng.choice(invent.PLACES) if rng.random() < 0.3 else invent.word(rng).capitalize(),
    "path": invent.path,
    "command": invent.command,
    "variable": invent.variable,
    "flag": lambda rng: f"--{invent.identifier(rng, '-')}",
    "header": lambda rng: f"x-{invent.identifier(rng, '-')}",
    "route": lambda rng: f"/{rng.choice(('v1', 'api', 'v2', 'admin'))}/{invent.identifier(rng, '/')}",
    "metric": lambda rng: f"{invent.identifier(rng, '_')}_{rng.choice(('total', 'seconds', 'bytes', 'ratio'))}",
    "choice": lambda rng: invent.identifier(rng, rng.choice("-_ ")),
    "thing": invent.thing,
    "deed": lambda rng: invent.deed(rng).base,
    "name": lambda rng: invent.word(rng).capitalize(),
    "key": lambda rng: invent.identifier(rng, rng.choice("_.")),
    "reason": lambda rng: f"the {invent.thing(rng)} {invent.deed(rng).third}",
    "status": lambda rng: str(rng.choice((200, 201, 202, 204, 301, 302, 400, 401, 403, 404, 409, 413, 422, 429, 500, 502, 503, 504))),
}
