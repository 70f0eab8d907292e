"""Country pages and questions from the World Factbook's nested JSON.

It knows the fields, their question forms, and which countries are held out for evaluation (by a hash of the file name, one in ten).
It refuses to know how passages are mixed: that is `bundles`.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TypeGuard

from slipway_training.rows import Ask, Page, Passage, usable
from slipway_training.sources.factbook_questions import questions
from slipway_training.sources.text import chunks, plain

SOURCE = "factbook"
HELD_OUT_IN = 10
MAX_VALUE_WORDS = 40
MAX_ANSWER_WORDS = 14
_SKIPPED_REGIONS = ("meta__", "world__", "oceans__")


@dataclass(frozen=True, slots=True)
class Field:
    """One field of one country: the names on the way to it, and its plain text."""

    country: str
    category: str
    path: tuple[str, ...]
    value: str

    @property
    def label(self) -> str:
        """The line head under which the value stands in a passage."""
        return " - ".join(short_path(self.path))


def is_held_out(name: str) -> bool:
    """Whether the country file `name` belongs to the evaluation slice."""
    return int(hashlib.sha256(name.encode()).hexdigest(), 16) % HELD_OUT_IN == 0


def country_files(folder: Path, held_out: bool) -> list[Path]:
    """The country files of one slice, in name order."""
    files = (p for p in sorted(folder.glob("*__*.json")) if not p.name.startswith(_SKIPPED_REGIONS))
    return [p for p in files if is_held_out(p.name) is held_out]


def factbook_pages(rng: Random, folder: Path, held_out: bool, variants: int = 1) -> Iterator[Page]:
    """Pages of one country (other fields as distractors), then pages of one category over eight countries (same field, other country)."""
    by_category: dict[str, list[Passage]] = {}
    for path in country_files(folder, held_out):
        fields = read_country(path)
        for _ in range(variants):
            categories = dict.fromkeys(f.category for f in fields)
            passages = {name: _passages(rng, [f for f in fields if f.category == name]) for name in categories}
            yield Page(SOURCE, tuple(p for group in passages.values() for p in group))
            for category, group in passages.items():
                by_category.setdefault(category, []).extend(group)
    for category in sorted(by_category):
        group = by_category[category]
        rng.shuffle(group)
        for start in range(0, len(group), 10):
            yield Page(SOURCE, tuple(group[start : start + 10]))


def read_country(path: Path) -> list[Field]:
    """Every short field of a country file; a field that comes twice is kept once, so that a question has one home."""
    tree: object = json.loads(path.read_text(encoding="utf-8"))
    if not _is_tree(tree):
        return []
    country = _country_name(tree)
    seen: set[tuple[str, ...]] = set()
    out: list[Field] = []
    for category, below in tree.items():
        if not _is_tree(below) or category in ("Introduction", "Transnational Issues"):
            continue
        for trail, value in _leaves(below, ()):
            if country and trail not in seen and value and len(value.split()) <= MAX_VALUE_WORDS:
                seen.add(trail)
                out.append(Field(country, category, trail, value))
    return out


def backgrounds(folder: Path, held_out: bool) -> list[str]:
    """The introduction paragraphs, as prose for the tokenizer and for cloze questions."""
    texts: list[str] = []
    for path in country_files(folder, held_out):
        tree: object = json.loads(path.read_text(encoding="utf-8"))
        if _is_tree(tree):
            texts += [v for _, v in _leaves(tree.get("Introduction", {}), ())]
    return texts


def _country_name(tree: dict[str, object]) -> str:
    names = dict(_leaves(tree.get("Government", {}), ()))
    for key in ("conventional short form", "conventional long form"):
        name = names.get(("Country name", key), "")
        if name and name.lower() != "none":
            return name.split(";")[0].split("(")[0].strip()
    return ""


def _leaves(node: object, trail: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    if not _is_tree(node):
        return
    for key, below in node.items():
        if key == "note":
            continue
        if _is_tree(below) and "text" in below:
            text = below["text"]
            if isinstance(text, str):
                yield (*trail, plain(key)), plain(text)
        else:
            yield from _leaves(below, (*trail, plain(key)))


def _is_tree(node: object) -> TypeGuard[dict[str, object]]:
    return isinstance(node, dict)


def _passages(rng: Random, fields: list[Field]) -> list[Passage]:
    if not fields:
        return []
    form = rng.choice(("lines", "lines", "prose", "table"))
    lines = [_line(form, field) for field in fields]
    home = dict(zip(lines, fields, strict=True))
    out: list[Passage] = []
    for group in chunks(lines, low=30, high=rng.choice((60, 90, 120))):
        head = f"{fields[0].country} - {fields[0].category}"
        joined = {"prose": " ", "lines": "\n", "table": "\n"}[form].join(group)
        asks = tuple(ask for line in group for ask in _asks(rng, home[line]))
        text = f"{head}. {joined}" if form == "prose" else f"{'#' * rng.randint(0, 3)} {head}\n{joined}".strip()
        out.append(Passage(text, asks))
    return list(usable(out))


def _line(form: str, field: Field) -> str:
    match form:
        case "prose":
            return f"The {field.label} of {field.country} is {field.value}."
        case "table":
            return f"| {field.label} | {field.value} |"
        case _:
            return f"{field.label}: {field.value}"


def _asks(rng: Random, field: Field) -> list[Ask]:
    answer = short_answer(field.value)
    if not answer:
        return []
    return [Ask(question, answer) for question in questions(rng, field.country, short_path(field.path))]


def short_path(path: tuple[str, ...]) -> tuple[str, ...]:
    """`path` without a first part that the last one repeats: ("Public debt", "Public debt 2016") says only the second."""
    return path[-1:] if len(path) > 1 and path[-1].lower().startswith(path[0].lower()[:20]) else path


def short_answer(value: str) -> str:
    """The part of a value that answers: no estimate year in brackets, the first clause when it is long; empty when nothing short is left."""
    text = value.split(": ", 1)[1] if ": " in value[:40] else value
    for stop in (" (", "; "):
        head = text.split(stop)[0].strip(" ,;")
        if head and (stop == " (" or len(text.split()) > MAX_ANSWER_WORDS):
            text = head
    return text if 0 < len(text.split()) <= MAX_ANSWER_WORDS else ""
