"""How many of the people named in open texts the model finds, and how much of what it finds is one.

It knows two sources: pii_presidio's generated texts, and passages of squad_sample in which names were marked by hand. None of them is in the training set;
what the reader missed in the validation file and in pii_presidio was seen when templates were written, what it missed in the other passages was not.
It refuses to know how the section is shown.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from slipway_safety_filter.evaluate.figures import Rate
from slipway_safety_filter.names import Names

HELD_OUT = 0.25
"""Share of all single names, by hash, that training leaves out: as in slipway_training/safety/name_lists.py."""
MARKED = Path(__file__).with_name("marked_names.json")
_TITLES = frozenset({"Mr", "Mrs", "Ms", "Miss", "Dr"})
_WORD = re.compile(r"[^\W\d_]+")

Place = tuple[int, int]


@dataclass(frozen=True)
class Text:
    """`names` must be found; what touches an `open` place is neither right nor wrong (titles, fictional people, words that may mean either)."""

    text: str
    names: tuple[Place, ...]
    open: tuple[Place, ...]

    @property
    def unseen(self) -> bool:
        """Whether every part of every name in it was kept from training."""
        words = [word for a, b in self.names for word in _WORD.findall(self.text[a:b])]
        return bool(words) and all(_held_out(word) for word in words)


def _held_out(word: str) -> bool:
    return int(hashlib.sha256(f"name {word.lower()}".encode()).hexdigest()[:8], 16) / 0xFFFFFFFF < HELD_OUT


def presidio(file: Path) -> list[Text]:
    """pii_presidio's texts with the places of persons; a title alone is no name."""
    out: list[Text] = []
    for row in json.loads(file.read_text(encoding="utf-8")):
        kinds: dict[bool, list[Place]] = {True: [], False: []}
        for span in row["spans"]:
            person = span["entity_type"] == "PERSON" and span["entity_value"].rstrip(".") not in _TITLES
            if person or span["entity_type"] in ("PERSON", "TITLE", "PREFIX"):
                kinds[person].append((span["start_position"], span["end_position"]))
        out.append(Text(row["full_text"], tuple(kinds[True]), tuple(kinds[False])))
    return out


def marked(file: Path) -> list[Text]:
    """The passages of `file`, one of squad_sample's, that were read, as far as they were, with every mention of a marked name."""
    known = json.loads(MARKED.read_text(encoding="utf-8"))[file.name]
    out: list[Text] = []
    for line in file.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if (marks := known["passages"].get(row["id"])) is not None:
            text = row["prompt"].partition("Context: ")[2].partition("\nQuestion:")[0].strip()[: known["chars"]]
            names = _mentions(text, marks["names"], ())
            out.append(Text(text, names, _mentions(text, marks["open"], names)))
    return out


def _mentions(text: str, names: Iterable[str], taken: Sequence[Place]) -> tuple[Place, ...]:
    """Whole-word occurrences of `names`, longer ones first, that touch nothing taken."""
    found: list[Place] = []
    for name in sorted(names, key=len, reverse=True):
        for match in re.finditer(rf"(?<!\w){re.escape(name)}(?!\w)", text):
            if all(match.end() <= a or match.start() >= b for a, b in (*taken, *found)):
                found.append(match.span())
    return tuple(sorted(found))


def rates(names: Names, texts: Sequence[Text], threshold: float) -> tuple[Rate, Rate]:
    """(recall: the whole name lies in a span; precision: the span touches a name)."""
    hits, total, right, spans = 0, 0, 0, 0
    for one in texts:
        found = [(s.start, s.end) for s in names.find(one.text) if s.score >= threshold]
        hits, total = hits + sum(any(a <= x and y <= b for a, b in found) for x, y in one.names), total + len(one.names)
        named = [_touches(place, one.names) for place in found]
        judged = [good for place, good in zip(found, named, strict=True) if good or not _touches(place, one.open)]
        right, spans = right + sum(judged), spans + len(judged)
    return Rate(hits, total), Rate(right, spans)


def _touches(place: Place, places: Sequence[Place]) -> bool:
    return any(place[0] < b and place[1] > a for a, b in places)
