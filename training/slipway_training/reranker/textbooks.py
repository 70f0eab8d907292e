"""Questions over textbook paragraphs: exercises with their printed answers, glossary entries, headings, and sentences taken out of their paragraph.

It knows how the plain-text books are laid out. It refuses to know which modules are held out.
"""

import itertools
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_SPACE = re.compile(r"\s+")
_GLOSSARY = re.compile(r"^([a-zA-Z][\w '()/-]{2,48}): ([^\n]{15,220})$", re.MULTILINE)
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")
_WORD = re.compile(r"[A-Za-z][\w'’-]+")
_EXERCISES = re.compile(r"^(Critical Thinking|Interactive Link) Questions?$")
_HEADING = re.compile(r"[A-Z][^.:;?!]{2,60}")
_STOP = frozenset(
    "the a an of to in and or is are was were be been being that which this these those it its as for with by on at from into can may might will "
    "would should has have had not but if than then they their there he she his her we our you your also such more most some any each other".split()
)
DEFINITION_WORDINGS = ("{d}", "{d}", "Which term means {d}?", "What is it called: {d}?", "{d}, what is that?")
TERM_WORDINGS = ("What is {t}?", "define {t}", "{t}", "What does {t} mean?", "Explain {t}.", "What do we know about {t}?")


@dataclass(slots=True)
class Module:
    """A book's section: paragraphs, (query, paragraph numbers that answer it), and exercises in the same form."""

    title: str
    paragraphs: list[str]
    asked: list[tuple[str, list[int]]] = field(default_factory=list)
    exercises: list[tuple[str, list[int]]] = field(default_factory=list)


def modules(data: Path) -> Iterator[Module]:
    """Every module of every book, without questions yet."""
    for path in sorted((data / "openstax_text").glob("*.txt")):
        for raw in path.read_text(encoding="utf-8").split("\n# "):
            yield _module(raw)


def _module(raw: str) -> Module:
    blocks = [_SPACE.sub(" ", block).strip() for block in raw.split("\n\n")]
    printed = list(_printed(blocks))
    short = [answer for _, answer in printed if len(answer.split()) < 30]
    made = Module(blocks[0].lstrip("# "), list(dict.fromkeys([*(b for b in blocks if 30 <= len(b.split()) <= 250), *short])))
    place = {text: number for number, text in enumerate(made.paragraphs)}
    for term, definition in _GLOSSARY.findall(raw):
        held = [n for n, text in enumerate(made.paragraphs) if term.lower() in text.lower()]
        if 1 <= len(held) <= 2:
            made.asked += [(f"\0{term}\0{definition.strip()}", held)]
    made.exercises = [(question, [place[answer]]) for question, answer in printed]
    for before, after in itertools.pairwise(blocks):
        # A heading names what the block below it is about.
        if 2 <= len(before.split()) <= 9 and before[-1:] not in ".:;,?" and before[:1].isupper() and after in place:
            made.asked.append((before, [place[after]]))
    return made


def _printed(blocks: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Exercises with the answer that the book prints below them. Answers are often one short sentence, and are passages all the same."""
    inside = False
    for block, below in itertools.pairwise(blocks):
        if _EXERCISES.match(block):
            inside = True
        elif len(block.split()) <= 5 and _HEADING.fullmatch(block):
            inside = False
        elif (
            inside and 5 <= len(block.split()) <= 80 and block.endswith("?") and 4 <= len(below.split()) <= 250 and not below.endswith("?")
        ):
            yield block, below


def questions(module: Module, rng: random.Random) -> list[tuple[str, list[int]]]:
    """The module's questions in the forms that people type. Cuts a sentence out of some paragraphs, so that it can be asked for."""
    out: list[tuple[str, list[int]]] = []
    for asked, held in module.asked:
        if asked.startswith("\0"):
            _, term, definition = asked.split("\0")
            out.append((rng.choice(DEFINITION_WORDINGS).format(d=definition), held))
            if rng.random() < 0.3:
                out.append((rng.choice(TERM_WORDINGS).format(t=term), held))
        elif rng.random() < 0.35:
            out.append((asked, held))
    for number in range(len(module.paragraphs)):
        if rng.random() < 0.22 and (query := taken(module, number, rng)):
            out.append((query, [number]))
    return out


def taken(module: Module, number: int, rng: random.Random, *, keep: bool = False) -> str | None:
    """A sentence of the paragraph as a query: removed from it (Lee et al. 2019, inverse cloze) or left in, whole or as key words."""
    sentences = _SENTENCE.split(module.paragraphs[number])
    if len(sentences) < 3:
        return None
    at = rng.randrange(len(sentences))
    words = _WORD.findall(sentences[at])
    if not 7 <= len(words) <= 45:
        return None
    content = [word for word in words if word.lower() not in _STOP]
    form = rng.random()
    if form < 0.35:
        return " ".join(rng.sample(content, min(len(content), rng.randint(2, 6))))
    if form < 0.8 and not keep:
        module.paragraphs[number] = " ".join(sentences[:at] + sentences[at + 1 :])
    return " ".join(word for word in sentences[at].split() if rng.random() > 0.15)
