"""Texts made from templates: what a template may say, and the rows of the template files.

It knows the small grammar ({a|b} a choice, <name> a slot) and which labels each file carries. A split is by template, never by expansion.
It refuses to know the open folders.
"""

import hashlib
import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from slipway_training.recipes import FOLDER
from slipway_training.safety.config import SafetyConfig

HERE = FOLDER / "safety"
ATTACKS: tuple[str, ...] = ("jailbreak", "injection", "prompt_extraction")
HARMS: tuple[str, ...] = ("harm.harassment", "harm.hate", "harm.illicit", "harm.self-harm", "harm.sexual", "harm.violence")
HEADS: tuple[str, ...] = (*ATTACKS, "passage_injection", *HARMS)
_CHOICE = re.compile(r"\{([^{}]*)\}")
_SLOT = re.compile(r"<(\w+)>")

Slots = Mapping[str, list[str]]


@dataclass(frozen=True)
class Row:
    """`labels` names the heads for which the answer is known; the others learn nothing from the row."""

    text: str
    source: str
    fold: int
    labels: Mapping[str, int] = field(default_factory=dict)


def expand(template: str, slots: Slots, rng: random.Random) -> str:
    """One sentence of `template`: a choice of every {a|b}, a value of every <slot>, the same value for the same slot."""
    chosen: dict[str, str] = {}

    def slot(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in slots:
            return match.group(0)
        return chosen.setdefault(name, rng.choice(slots[name]))

    text = _SLOT.sub(slot, template)
    text = text.replace("{{", "\0").replace("}}", "\1")
    while _CHOICE.search(text):
        text = _CHOICE.sub(lambda match: rng.choice(match.group(1).split("|")), text)
    text = _SLOT.sub(slot, text)
    return text.replace("\0", "{").replace("\1", "}").strip()


def held_out(key: str, share: float) -> bool:
    """Whether the row of this key is kept from training altogether: by its hash, so that a longer file moves nothing."""
    return int(hashlib.sha256(key.encode()).hexdigest()[:8], 16) / 0xFFFFFFFF < share


def fold_of(key: str, folds: int) -> int:
    """Which member of the file is trained without the template or row of this key: by its hash, as above."""
    return int(hashlib.sha256(key.encode()).hexdigest()[:8], 16) % folds


def rows(config: SafetyConfig, passages: list[str], rng: random.Random) -> Iterator[Row]:
    """Rows of the four template files."""
    files = {name: _read(HERE / f"{name}.yaml") for name in ("attacks", "harmless", "developers", "harm")}
    slots: dict[str, list[str]] = {}
    for name in ("attacks", "harmless", "developers"):
        slots |= files[name].pop("slots")
    yield from _attacks(files["attacks"], slots, config, passages, rng)
    yield from _harmless(files["harmless"]["harmless"], "harmless", slots, config, config.per_template.harmless, rng)
    yield from _harmless(files["developers"]["developers"], "developers", slots, config, config.per_template.developers, rng)
    yield from _harms(files["harm"], slots, config, rng)


def short(config: SafetyConfig, rng: random.Random) -> Iterator[Row]:
    """Rows of short.yaml: what people say in a few words."""
    file = _read(HERE / "short.yaml")
    yield from _harmless(file["short"], "short", file["slots"], config, config.per_template.short, rng)


def _read(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def _dressed(text: str, rng: random.Random) -> str:
    """The same words as people type them."""
    roll = rng.random()
    if roll < 0.12:
        return text.lower()
    if roll < 0.16:
        return text.upper()
    if roll < 0.24 and len(text) > 20:
        at = rng.randrange(5, len(text) - 5)
        return text[:at] + text[at + 1] + text[at] + text[at + 2 :]
    return text


def _harmless(
    families: Mapping[str, list[str]], file: str, slots: Slots, config: SafetyConfig, count: int, rng: random.Random
) -> Iterator[Row]:
    none = dict.fromkeys(HEADS, 0)
    for family, lines in families.items():
        for line in lines:
            fold = fold_of(line, config.members)
            for _ in range(count):
                yield Row(_dressed(expand(line, slots, rng), rng), f"{file}/{family}", fold, none)


def _attacks(files: Mapping[str, Any], slots: Slots, config: SafetyConfig, passages: list[str], rng: random.Random) -> Iterator[Row]:
    lines = [(kind, family, line) for kind, families in files.items() for family, members in families.items() for line in members]
    for kind, family, line in lines:
        fold = fold_of(line, config.members)
        # One text can be several attacks at once: the other attack heads learn nothing from it.
        labels = {
            "jailbreak": {"jailbreak": 1},
            "injection": {"injection": 1, "passage_injection": 1},
            "extraction": {"prompt_extraction": 1},
        }[kind]
        for _ in range(config.per_template.attacks):
            text = _dressed(expand(line, slots, rng), rng)
            if kind == "injection" and passages and rng.random() < config.embedded_share:
                text = embedded(text, rng.choice(passages), rng)
            yield Row(text, f"attacks/{kind}.{family}", fold, labels)


def _harms(files: Mapping[str, list[str]], slots: Slots, config: SafetyConfig, rng: random.Random) -> Iterator[Row]:
    for head, lines in files.items():
        clear = {h: 0 for h in HARMS if h not in _neighbours(head)}
        for place, line in enumerate(lines):
            fold = place % config.members  # few templates: by place, so that every member misses some of each
            for _ in range(config.per_template.harm):
                yield Row(_dressed(expand(line, slots, rng), rng), f"harm/{head}", fold, {**dict.fromkeys(ATTACKS, 0), **clear, head: 1})


def _neighbours(head: str) -> set[str]:
    """Categories that a text of this one may well carry too."""
    return {"harm.hate": {"harm.harassment", "harm.violence"}, "harm.harassment": {"harm.hate"}, "harm.violence": {"harm.illicit", "harm.hate"},
            "harm.illicit": {"harm.violence"}}.get(head, set())  # fmt: skip


def embedded(attack: str, passage: str, rng: random.Random) -> str:
    """`attack` before, inside or behind a few words of `passage`."""
    around = [" ".join(part.split()[:14]) for part in (rng.choice(re.split(r"(?<=[.!?|])\s+", passage)), passage)]
    at = rng.randrange(len(around) + 1)
    return rng.choice((" ", "\n", "\n\n")).join([*around[:at], attack, *around[at:]])
