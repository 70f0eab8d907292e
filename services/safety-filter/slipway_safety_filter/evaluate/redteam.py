"""The red team's own texts: attacks by family, orders of kinds that training never saw, and what harmless texts look most like them.

No line of attacks.txt, harmless.txt, developers.txt or instructions.txt is in the training set, and none was made from its templates. bipia's orders come from the
kinds that the recipe leaves out, put into contexts of the same folder. It refuses to measure.
"""

import json
import random
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

ItemT = TypeVar("ItemT")
HERE = Path(__file__).parent
HELD_OUT_KINDS = ("Persuasion", "Homophonic Substitution", "Malware Distribution")
"""As in slipway_training/safety/folders.py."""


def families() -> dict[str, list[str]]:
    """Hand-written attacks by family."""
    out: dict[str, list[str]] = defaultdict(list)
    for line in (HERE / "attacks.txt").read_text(encoding="utf-8").splitlines():
        family, _, text = line.partition("\t")
        out[family].append(text)
    return dict(out)


def developers() -> list[str]:
    """Questions and tasks of developers, in the words that attacks use."""
    return (HERE / "developers.txt").read_text(encoding="utf-8").splitlines()


def instructions() -> list[str]:
    """System messages as developers of applications write them: rules, secrets and roles, in the words that attacks use."""
    return (HERE / "instructions.txt").read_text(encoding="utf-8").splitlines()


def documentation(folder: Path) -> list[tuple[str, str]]:
    """(place, section) of every Markdown page in `folder`: manuals give orders to people, and name keys, prompts and markers."""
    out: list[tuple[str, str]] = []
    for file in sorted(folder.glob("*.md")):
        for section in re.split(r"(?m)^(?=#{1,3} )", file.read_text(encoding="utf-8")):
            if len(section) >= 60:
                out.append((f"{file.name}: {section.splitlines()[0]}", section))
    return out


def planted_orders(data: Path, count: int, seed: int = 9) -> tuple[list[str], list[str]]:
    """(passages with an order of a kind that training never saw, the same passages without); both empty without the folder."""
    folder = data / "bipia_injection"
    if not (folder / "text_attack_train.json").is_file():
        return [], []
    kinds: dict[str, list[str]] = json.loads((folder / "text_attack_train.json").read_text("utf-8"))
    orders = [order for kind in HELD_OUT_KINDS for order in kinds[kind]]
    rng = random.Random(seed)  # noqa: S311 - sampling
    clean = list(_contexts(folder))
    rng.shuffle(clean)
    clean = clean[:count]
    return [_inside(rng.choice(orders), passage, rng) for passage in clean], clean


def _contexts(folder: Path) -> Iterator[str]:
    for name in ("email", "table"):
        for line in (folder / f"{name}__train.jsonl").read_text("utf-8").splitlines():
            context = json.loads(line)["context"]
            text = context if isinstance(context, str) else json.dumps(context)
            if 200 < len(text) < 1500:
                yield text


def _inside(order: str, passage: str, rng: random.Random) -> str:
    lines = passage.split("\n")
    at = rng.choice((0, len(lines) // 2, len(lines)))
    return "\n".join([*lines[:at], order, *lines[at:]])


def merged(families: Mapping[str, Sequence[ItemT]]) -> list[ItemT]:
    """The texts, or the scores, of all families, one after another."""
    return [item for family in families.values() for item in family]
