"""The texts that a checkpoint is studied on: a file of the user's, or self-made ones with a label each.

It knows JSONL and plain text. It refuses to know models.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from random import Random

from slipway_training.errors import ConfigError
from slipway_training.sources import invent
from slipway_training.sources.frames import FRAMES

SELF_MADE = 240
KINDS = 4


@dataclass(frozen=True, slots=True)
class Text:
    """One text; `label` is empty where none is known."""

    text: str
    label: str = ""


def read_texts(path: Path | None, limit: int = 0, *, labelled: bool = False) -> list[Text]:
    """The lines of a .jsonl (`{"text": ..., "label": ...}`) or the paragraphs of any other file; None: self-made sentences. Raises ConfigError.

    `labelled` asks for a label on every line, of at least two kinds.
    """
    texts = self_made(limit or SELF_MADE) if path is None else _read(path)
    texts = texts[:limit] if limit else texts
    if not texts:
        raise ConfigError(f"{path} holds no text")
    if labelled and (any(not t.label for t in texts) or len({t.label for t in texts}) < 2):
        raise ConfigError(f'{path}: a probe wants lines of {{"text": ..., "label": ...}} with at least two labels')
    return texts


def self_made(count: int, seed: int = 7) -> list[Text]:
    """Beginnings of sentences about invented things. The label is the kind of value that would follow: a port, a variable, a path, seconds.

    The value and everything after it is cut off, so that a probe must read what the sentence is about.
    """
    rng = Random(seed)
    things = [frame for frame in FRAMES if frame.about == "thing"]
    kinds = list(dict.fromkeys(frame.value for frame in things))[:KINDS]
    templates = {
        kind: [t for f in things if f.value == kind for t in f.statements if len(t.partition("{v}")[0].split()) > 2] for kind in kinds
    }
    out: list[Text] = []
    for index in range(count):
        kind, thing = kinds[index % len(kinds)], invent.thing(rng)
        before = rng.choice(templates[kind]).partition("{v}")[0].rstrip(" `:")
        out.append(Text(before.format(e=thing, E=thing[:1].upper() + thing[1:]), kind))
    return out


def _read(path: Path) -> list[Text]:
    if not path.is_file():
        raise ConfigError(f"{path} is missing")
    raw = path.read_text(encoding="utf-8")
    if path.suffix != ".jsonl":
        return [Text(part.strip()) for part in raw.split("\n\n") if part.strip()]
    out: list[Text] = []
    for number, line in enumerate(filter(None, map(str.strip, raw.splitlines())), 1):
        try:
            row = json.loads(line)
            out.append(Text(str(row["text"]), str(row.get("label", ""))))
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(f'{path} line {number}: not of the form {{"text": ..., "label": ...}}') from error
    return out
