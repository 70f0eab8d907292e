"""The texts that the reader of names learns from, with the places of the names: templates, and sentences of open books in which names were exchanged.

It knows how a template's names are marked and when every capital of a sentence is explained. It refuses to know features and readers.
"""

import random
import re
import zipfile
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from slipway_training.recipes import FOLDER
from slipway_training.safety.name_lists import Lists, invented
from slipway_training.safety.templates import expand, fold_of

FILE = FOLDER / "names" / "templates.yaml"
FOLDS = 10
"""Templates of fold 0 are for development: no text of theirs is trained on."""
_NAMING = ("openstax_text", "nltk_open")
"""Folders whose prose names people; the factbook's lists of places look too much like it, and teach what is no name."""
_SENTENCE = re.compile(r"(?<=[.!?])[\"”]?\s+(?=[\"“A-Z])")
_TOKEN = re.compile(r"[^\W\d_]+(?:[-'’](?!s\b)[^\W\d_]+)*")
_TITLES = frozenset("mr mrs ms dr prof professor sir president senator judge king queen captain saint lord lady".split())
_ALWAYS_BEFORE = frozenset("mr mrs ms dr prof professor".split())
_BEFORE = re.compile(
    r"(?:\b(?:Mr|Mrs|Ms|Dr|Prof|Professor|Sir|Senator|Judge|psychologist|philosopher|researcher|economist|theorist|author)\.? )$"
)
_SAID = re.compile(
    r"^(?:(?:'s|’s) (?:own |later |early )?(?:theor(?:y|ies)|work|views?|arguments?|claims?|book|ideas?|account|position)|"
    r" (?:also |later |first |himself |herself )?(?:argue[ds]?|believe[ds]?|wrote|writes|claim(?:s|ed)|propose[ds]?|suggest(?:s|ed)|thought|thinks|said|says|"
    r"held|holds|maintain(?:s|ed)|explain(?:s|ed)|theorized))\b"
)
_KIND = re.compile(r"(?:ists|ers|ans|eks|ics|ews|ims|ese|ity|ion|ism|ies)$")
_NOT_SAYING = frozenset(
    "the he she it they we i you this that these those there some many most others another both each one who what scientists researchers congress parliament".split()
)
_COMMON = frozenset(
    "the new united university of in war state states party world act house union court city street american european court north south east west".split()
)
_INITIAL = re.compile(r"^[A-Z]\.?$")


@dataclass(frozen=True)
class Named:
    """`names` are the places of people's names in `text`."""

    text: str
    names: tuple[tuple[int, int], ...]
    source: str
    fold: int


def generated(lists: Lists, each: int, rng: random.Random) -> Iterator[Named]:
    """`each` texts of every template."""
    file: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    for kind in ("people", "nobody"):
        for family, templates in file[kind].items():
            for template in templates:
                for _ in range(each):
                    slots = file["slots"] | _made(lists, rng) | {slot: [f"\x02{name}\x03"] for slot, name in _people(lists, rng).items()}
                    text, names = unmarked(_dressed(expand(template, slots, rng), rng))
                    yield Named(text, names, f"{kind}/{family}", fold_of(template, FOLDS))


def _made(lists: Lists, rng: random.Random) -> dict[str, list[str]]:
    """Places and firms that are called after somebody, in part of the texts."""
    out = {"street": [lists.street(rng)]}
    if rng.random() < 0.5:
        out["place"] = [lists.town(rng) for _ in range(3)]
    if rng.random() < 0.35:
        out["org"] = [lists.firm(rng)]
    return out


def _people(lists: Lists, rng: random.Random) -> dict[str, str]:
    return {
        "person": lists.person(rng), "other": lists.person(rng), "first": lists.part(False, rng), "last": lists.part(True, rng),
        "full": lists.full(rng), "listed": lists.listed(rng),
    }  # fmt: skip


def _dressed(text: str, rng: random.Random) -> str:
    """The same words as people type them; a register may write surnames or whole names in capitals."""
    roll = rng.random()
    if roll < 0.10:
        return text.lower()
    if roll < 0.13:
        return text.upper()
    if roll < 0.17:
        return re.sub(r"\x02[^\x03]*\x03", lambda match: match.group(0).lower(), text)
    if roll < 0.21:
        return re.sub(r"(?<= )[^\x02\x03 ]+\x03", lambda match: match.group(0).upper(), text)
    return text


def joined(rows: Sequence[Named], rng: random.Random) -> Iterator[Named]:
    """The same texts, two fifths of them followed by one or two others of their fold: readers meet more than one sentence at a time."""
    by_fold = {fold: [row for row in rows if row.fold == fold] for fold in {row.fold for row in rows}}
    for row in rows:
        whole, names = row.text, list(row.names)
        for _ in range(rng.randrange(1, 3) if rng.random() < 0.4 else 0):
            other = rng.choice(by_fold[row.fold])
            whole += rng.choice((" ", " ", "\n", "\n\n"))
            names += [(a + len(whole), b + len(whole)) for a, b in other.names]
            whole += other.text
        yield Named(whole, tuple(names), row.source, row.fold)


def unmarked(text: str) -> tuple[str, tuple[tuple[int, int], ...]]:
    """The text without its marks, and the places between them."""
    out, names, at = "", list[tuple[int, int]](), 0
    for match in re.finditer(r"\x02([^\x03]*)\x03", text):
        out += text[at : match.start()]
        names.append((len(out), len(out) + len(match.group(1))))
        out, at = out + match.group(1), match.end()
    return out + text[at:], tuple(names)


def found(data: Path, lists: Lists, count: int, rng: random.Random) -> Iterator[Named]:
    """Up to `count` sentences of each open folder that name people, who are then exchanged, and as many that name nobody. Each capital is explained: a name,
    or no word of any name list."""
    for name in (*_NAMING, "factbook"):
        sentences = list(dict.fromkeys(_sentences(data / name)))
        rng.shuffle(sentences)
        speakers = {w.group(0) for s in sentences for w in _TOKEN.finditer(s) if _speaks(w.group(0), s[w.end() : w.end() + 40])}
        kept = {True: 0, False: 0}
        for sentence in sentences:
            names = explained(sentence, lists, speakers)
            if names is None or kept[bool(names)] >= count or (names and name not in _NAMING):
                continue
            kept[bool(names)] += 1
            text, places = _exchanged(sentence, names, lists, rng)
            yield Named(text, places, name, fold_of(sentence, FOLDS))


def _sentences(folder: Path) -> Iterator[str]:
    for paragraph in _paragraphs(folder):
        if len(paragraph) > 60:
            yield from (s for s in _SENTENCE.split(paragraph.strip()) if 30 < len(s) < 320)


def _paragraphs(folder: Path) -> Iterator[str]:
    for file in sorted(folder.rglob("*.txt")):
        if file.name != "SOURCE.txt":
            yield from file.read_text("utf-8", "replace").split("\n")
    for file in sorted(folder.rglob("*.json")):
        for part in re.findall(r'"text": "([^"]{60,900})"', file.read_text("utf-8", "replace")):
            yield re.sub(r"<[^>]+>|&\w+;|\s+", " ", part)
    for name in ("state_union.zip", "inaugural.zip"):
        if (folder / name).is_file():
            with zipfile.ZipFile(folder / name) as packed:
                for member in packed.namelist():
                    if member.endswith(".txt"):
                        yield from re.split(r"\n\s*\n", packed.read(member).decode("utf-8", "replace").replace("\r", ""))


def explained(sentence: str, lists: Lists, speakers: Collection[str] = ()) -> list[tuple[int, int]] | None:
    """The names in `sentence`, or None where a capital could be a name or not. `speakers`: words that name somebody elsewhere in the book."""
    words = [(match.group(0), match.start(), match.end()) for match in _TOKEN.finditer(sentence)]
    names: list[tuple[int, int]] = []
    i, unclear = 0, False
    while i < len(words):
        word = words[i][0]
        if not word[0].isupper():
            i += 1
            continue
        last = i
        while last + 1 < len(words) and words[last + 1][0][0].isupper() and sentence[words[last][2] : words[last + 1][1]] in (" ", ". "):
            last += 1
        run = words[i : last + 1]
        if i == 0 and len(run) > 1 and not _doubtful(word, lists, ()):
            run = run[1:]  # a sentence begins with a capital anyway
        if (place := _name(sentence, run, lists)) is not None:
            names.append(place)
        elif any(_doubtful(w, lists, speakers) for w, _, _ in run) and not (run == words[:1] and word not in speakers):
            return None
        else:
            unclear = unclear or (len(run) > 1 and not any(w.lower() in _COMMON for w, _, _ in run))
        i = last + 1
    return None if names and unclear else names


def _name(sentence: str, run: Sequence[tuple[str, int, int]], lists: Lists) -> tuple[int, int] | None:
    """The place of the name that the run of capitals is: a first name of the lists and a surname, or whatever follows a title."""
    if len(run) > 1 and run[0][0].lower() in _ALWAYS_BEFORE:
        return run[1][1], run[-1][2]
    first = run[0][0].lower()
    if len(run) in (2, 3, 4) and first in lists.known_first and first not in _TITLES:
        inner = all(_INITIAL.match(w) or w.lower() in lists.known_first | lists.known_last for w, _, _ in run[1:-1])
        surname = run[-1][0]
        if (
            inner
            and len(surname) > 2
            and (surname.lower() in lists.known_last or len(run) > 2 or sentence[run[-1][2] : run[-1][2] + 2] in ("'s", ", ", " ("))
        ):
            return run[0][1], run[-1][2]
    if len(run) == 1 and len(first) > 3 and _speaks(run[0][0], sentence[run[-1][2] :]):
        return run[0][1], run[-1][2]
    if _BEFORE.search(sentence[: run[0][1]]) and len(run) <= 3 and len(run[0][0]) > 2:
        return run[0][1], run[-1][2]
    return None


def _speaks(word: str, after: str) -> bool:
    return word.istitle() and word.lower() not in _NOT_SAYING and not _KIND.search(word) and _SAID.search(after) is not None


def _doubtful(word: str, lists: Lists, speakers: Collection[str]) -> bool:
    plain = word.lower()
    return plain in lists.known_first or plain in lists.known_last or plain in _TITLES or word in speakers


def _exchanged(
    sentence: str, names: Sequence[tuple[int, int]], lists: Lists, rng: random.Random
) -> tuple[str, tuple[tuple[int, int], ...]]:
    """The sentence with other people's names in the same places, in as many words."""
    out, at = "", 0
    for start, end in names:
        roll = rng.random()
        one = (
            lists.full(rng) if " " in sentence[start:end] and roll < 0.6 else invented(rng) if roll > 0.9 else lists.part(roll < 0.75, rng)
        )
        out, at = out + sentence[at:start] + f"\x02{one}\x03", end
    return unmarked(out + sentence[at:])
