"""Word problems and multiple choice for the reasoning portfolio: questions, gold, short rationales, and a split by hash.

It knows the forms of gsm8k_train and arc_train. It refuses to know models. Without a data folder it makes sums and choices up.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from slipway_training.errors import DataMissing
from slipway_training.tuning.made import conversation
from slipway_training.tuning.rows import Messages

HELD_OUT = 0.1
_NOTE = re.compile(r"<<[^>]*>>")
_EQUATION = re.compile(r"[\d$.,]+(?:\s*[-+*/x%]\s*[\d$.,]+)+\s*=\s*\$?[\d.,]*\d")
_CHOICES = re.compile(r"Answer(\d): (.*?)(?=\s*Answer\d: |\s*\n\nAnswer format|$)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Problem:
    """A word problem: `gold` is the source's rationale, ending on `#### number`."""

    question: str
    gold: str

    @property
    def answer(self) -> str:
        """The last line alone: `#### number`."""
        return "####" + self.gold.rpartition("####")[2]


@dataclass(frozen=True, slots=True)
class Choice:
    """A question with its options; `right` is the index of the right one."""

    question: str
    options: tuple[str, ...]
    right: int

    @property
    def asked(self) -> Messages:
        """The user's message: question and options."""
        return [{"role": "user", "content": "\n".join([self.question, *(f"- {option}" for option in self.options)])}]


@dataclass(frozen=True, slots=True)
class Sets:
    """Training and held-out items of both kinds, and where they come from."""

    problems: tuple[Problem, ...]
    held_problems: tuple[Problem, ...]
    choices: tuple[Choice, ...]
    held_choices: tuple[Choice, ...]
    source: str


def read_sets(root: Path | None, limit: int, held: int) -> Sets:
    """At most `limit` training items of each kind and `held` held-out ones; `root` None makes them up. Copies of a held-out question are not trained on."""
    problems = _gsm8k(root) if root else [Problem(m[0]["content"], m[1]["content"]) for m in map(conversation, range(600))]
    choices = _arc(root) if root else _made_choices(300)
    parts = [_split(items, [p.question for p in items]) for items in (problems, choices)]
    source = "gsm8k_train (MIT), arc_train (CC BY-SA 4.0)" if root else "self-made sums and choices (Apache-2.0)"
    (train, dev), (train_choices, dev_choices) = parts
    return Sets(tuple(train[:limit]), tuple(dev[:held]), tuple(train_choices[:limit]), tuple(dev_choices[:held]), source)  # type: ignore[arg-type]


def shortened(gold: str, words: int) -> str | None:
    """A rationale of equations alone: `<<...>>` notes and prose dropped, the answer kept. None where no equation is left, or more than `words` words are."""
    body, _, last = gold.rpartition("####")
    equations = [match.replace("$", "") for line in body.splitlines() for match in _EQUATION.findall(_NOTE.sub("", line))]
    text = "\n".join([*equations, f"#### {last.strip()}"])
    return text if equations and len(text.split()) <= words else None


def _split(items: Sequence[Problem | Choice], questions: list[str]) -> tuple[list[Problem | Choice], list[Problem | Choice]]:
    train, dev = list[Problem | Choice](), dict[str, Problem | Choice]()
    shares = [int.from_bytes(hashlib.sha256(_key(q).encode()).digest()[:8], "big") / 2**64 for q in questions]
    for item, question, share in zip(items, questions, shares, strict=True):
        if share < HELD_OUT:
            dev.setdefault(_key(question), item)
        else:
            train.append(item)
    return train, list(dev.values())


def _key(question: str) -> str:
    """What makes two questions one: words without numbers' place or case, so that a copy falls on the same side."""
    return " ".join(re.findall(r"\w+", question.casefold()))


def _gsm8k(root: Path) -> list[Problem]:
    path = root / "gsm8k_train" / "train.jsonl"
    if not path.is_file():
        raise DataMissing(f"{path} is missing")
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    return [Problem(row["question"].strip(), _NOTE.sub("", row["answer"]).strip()) for row in rows]


def _arc(root: Path) -> list[Choice]:
    out: list[Choice] = []
    for name in ("ARC-Easy-train.json", "ARC-Challenge-train.json"):
        path = root / "arc_train" / name
        if not path.is_file():
            raise DataMissing(f"{path} is missing")
        for row in json.loads(path.read_text(encoding="utf-8")):
            text = row["instruction"].removeprefix("Please choose the correct answer to the question: ")
            options = [(int(number), option.strip()) for number, option in _CHOICES.findall(text)]
            right = int(re.sub(r"\D", "", row["answer"]) or 0)
            if len(options) >= 3 and [n for n, _ in options] == list(range(1, len(options) + 1)) and 1 <= right <= len(options):
                out.append(Choice(text.split("\n\nAnswer1:")[0].strip(), tuple(o for _, o in options), right - 1))
    return out


def _made_choices(count: int) -> list[Choice]:
    """Which number is the largest: learnable by a tiny model, ours."""
    out: list[Choice] = []
    for seed in range(count):
        rng = Random(f"choice/{seed}")
        options = rng.sample(range(10, 99), 4)
        out.append(
            Choice(f"Which number is the largest, {', '.join(map(str, options))}?", tuple(map(str, options)), options.index(max(options)))
        )
    return out
