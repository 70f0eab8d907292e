"""People's names for the texts that the reader of names learns from, in the forms in which people are named.

It knows the name lists of the package faker (MIT, 80 locales; read from its folder, needed for training alone) and which names are kept from training.
It refuses to know texts.
"""

import importlib
import importlib.util
import random
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from slipway_training.errors import DataMissing
from slipway_training.recipes import FOLDER
from slipway_training.safety.templates import held_out

HELD_OUT = 0.25
"""Share of all names, by hash, that no training text holds: who is named in the test is nobody whom the reader saw."""
_LATIN = re.compile(r"[A-ZÀ-ÖØ-ÞĀ-Ž][A-Za-zÀ-ÖØ-öø-ÿĀ-ſȘ-țḀ-ỿ'’]+(?:[- ][A-ZÀ-ÖØ-ÞĀ-Ž][A-Za-zÀ-ÖØ-öø-ÿĀ-ſȘ-țḀ-ỿ'’]+)?")
_PARTICLES = ("de", "van", "von", "van der", "de la", "bin", "al", "el", "da", "dos", "di", "del", "le", "ten")
_SOUNDS = (
    "ka",
    "shi",
    "ra",
    "lo",
    "men",
    "du",
    "ni",
    "to",
    "bek",
    "ov",
    "ya",
    "sen",
    "mi",
    "go",
    "la",
    "tha",
    "ru",
    "ez",
    "in",
    "wo",
    "ke",
    "ar",
    "el",
    "zi",
    "ba",
    "nu",
)


@dataclass(frozen=True)
class Locale:
    """First and last names that go together."""

    first: tuple[str, ...]
    last: tuple[str, ...]


def is_held_out(name: str) -> bool:
    """Whether a single name is kept from training."""
    return held_out(f"name {name.lower()}", HELD_OUT)


@dataclass(frozen=True)
class Lists:
    """Names by locale; `known_first` and `known_last` are those of all locales in lower case. `streets` and `firms` are forms of what bears a name."""

    locales: tuple[Locale, ...]
    known_first: frozenset[str]
    known_last: frozenset[str]
    streets: tuple[str, ...]
    firms: tuple[str, ...]

    def part(self, last: bool, rng: random.Random) -> str:
        """One first or last name."""
        locale = self.locale(rng)
        return rng.choice(locale.last if last else locale.first)

    def locale(self, rng: random.Random) -> Locale:
        """English-speaking ones are a third of all."""
        return self.locales[0] if rng.random() < 0.33 else rng.choice(self.locales)

    def full(self, rng: random.Random) -> str:
        """First and last name, perhaps with an initial, a second name or a particle."""
        locale = self.locale(rng)
        first, last, roll = rng.choice(locale.first), rng.choice(locale.last), rng.random()
        if roll < 0.06:
            return f"{first[0]}. {last}"
        if roll < 0.12:
            return f"{first} {rng.choice('ABCDEFGHJKLMNPRSTW')}. {last}"
        if roll < 0.15:
            return f"{first[0]}. {rng.choice('ABCDEFGHJKLMNPRSTW')}. {last}"
        if roll < 0.20:
            return f"{first} {rng.choice(locale.first)} {last}"
        if roll < 0.23:
            return f"{first} {last}-{rng.choice(locale.last)}"
        if roll < 0.28:
            return f"{first} {rng.choice(_PARTICLES)} {last}"
        if roll < 0.33:
            return f"{invented(rng)} {last}" if rng.random() < 0.5 else f"{first} {invented(rng)}"
        return f"{first} {last}"

    def person(self, rng: random.Random) -> str:
        """A person as texts name one: mostly in full, else by a part."""
        roll = rng.random()
        if roll < 0.68:
            return self.full(rng)
        if roll < 0.9:
            return self.part(False, rng) if rng.random() < 0.92 else invented(rng)
        return self.part(True, rng)

    def street(self, rng: random.Random) -> str:
        """An address whose street is called after somebody or something."""
        return self._made(rng.choice(self.streets), rng)

    def firm(self, rng: random.Random) -> str:
        """A company, school or the like that bears a name."""
        return self._made(rng.choice(self.firms), rng)

    def town(self, rng: random.Random) -> str:
        """A place that nobody has heard of."""
        name = invented(rng) if rng.random() < 0.4 else self.part(True, rng)
        return f"{rng.choice(('New', 'Port', 'San', 'Saint', 'Bad', 'Fort', 'Nagy', 'El'))} {name}" if rng.random() < 0.2 else name

    def _made(self, form: str, rng: random.Random) -> str:
        return form.format(
            n=rng.randrange(1, 400),
            w=self.town(rng) if rng.random() < 0.3 else self.part(True, rng),
            v=self.part(True, rng),
            f=self.part(False, rng),
        )

    def listed(self, rng: random.Random) -> str:
        """Last name first."""
        locale = self.locale(rng)
        first = rng.choice(locale.first)
        return f"{rng.choice(locale.last)}, {first if rng.random() < 0.6 else first[0] + '.'}"


def invented(rng: random.Random) -> str:
    """A name of no list, so that the reader must go by what stands around it."""
    while True:
        name = "".join(rng.choice(_SOUNDS) for _ in range(rng.randrange(2, 4))).capitalize()
        if not is_held_out(name):
            return name


def _file() -> dict[str, Any]:
    return yaml.safe_load((FOLDER / "names" / "templates.yaml").read_text(encoding="utf-8"))


def _lists(locales: Sequence[Locale], known: Sequence[Locale]) -> Lists:
    file = _file()
    first = frozenset(name.lower() for one in known for name in one.first)
    last = frozenset(name.lower() for one in known for name in one.last)
    return Lists(tuple(locales), first, last, tuple(file["streets"]), tuple(file["firms"]))


@cache
def own() -> Lists:
    """The few names of templates.yaml, where there is no package."""
    named = _file()["names"]
    one = Locale(tuple(named["first"]), tuple(named["last"]))
    return _lists([one], [one])


@cache
def lists(folder: Path | None = None) -> Lists:
    """The names of training, from the package in `folder` or the one that is installed; raises DataMissing."""
    if folder is not None and str(folder) not in sys.path:
        sys.path.append(str(folder))
    found = importlib.util.find_spec("faker")
    if found is None or not found.submodule_search_locations:
        raise DataMissing(
            "the reader of names learns from the name lists of the package faker: install faker==40.54.0, or name its folder (name_lists)"
        )
    people = Path(found.submodule_search_locations[0]) / "providers" / "person"
    locales: dict[str, Locale] = {}
    for place in sorted(p.name for p in people.iterdir() if (p / "__init__.py").is_file()):
        provider = importlib.import_module(f"faker.providers.person.{place}").Provider
        names = Locale(_named(provider, "first"), _named(provider, "last"))
        if len(names.first) >= 20 and len(names.last) >= 20:
            locales[place] = names
    english = [locale for place, locale in locales.items() if place.startswith("en_")]
    joined = Locale(tuple(n for one in english for n in one.first), tuple(n for one in english for n in one.last))
    trained = [Locale(_kept(one.first), _kept(one.last)) for one in (joined, *locales.values())]
    return _lists(trained, list(locales.values()))


def _named(provider: Any, part: str) -> tuple[str, ...]:
    """Latin-script names of `part`, each once, in order."""
    out: dict[str, None] = {}
    for attribute in (f"{part}_names", f"{part}_names_male", f"{part}_names_female", f"{part}_names_unisex"):
        names = getattr(provider, attribute, ())
        if isinstance(names, (tuple, list, dict)):
            out |= dict.fromkeys(n for n in names if isinstance(n, str) and _LATIN.fullmatch(n))
    return tuple(out)


def _kept(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(n for n in names if not any(is_held_out(part) for part in re.split(r"[- ]", n)))
