"""The rows that the safety heads learn from: templates written for this recipe, and the open folders of SLIPWAY_DATA_DIR.

It knows which label each source carries, and which it leaves open. A split is by template and by source row, never by expansion.
"""

import csv
import gzip
import hashlib
import json
import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

WINDOW_WORDS = 44
HERE = Path(__file__).parent
ATTACKS: tuple[str, ...] = ("jailbreak", "injection", "prompt_extraction")
HARMS: tuple[str, ...] = ("harm.harassment", "harm.hate", "harm.illicit", "harm.self-harm", "harm.sexual", "harm.violence")
HEADS: tuple[str, ...] = (*ATTACKS, "passage_injection", *HARMS)
_CHOICE = re.compile(r"\{([^{}]*)\}")
_SLOT = re.compile(r"<(\w+)>")


@dataclass(frozen=True)
class Row:
    """`labels` names the heads for which the answer is known; the others learn nothing from the row."""

    text: str
    source: str
    development: bool
    labels: Mapping[str, int] = field(default_factory=dict)


def expand(template: str, slots: Mapping[str, list[str]], rng: random.Random) -> str:
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


def _held_out(key: str, share: float) -> bool:
    return int(hashlib.sha256(key.encode()).hexdigest()[:8], 16) / 0xFFFFFFFF < share


def templates(config: Mapping[str, Any], passages: list[str], rng: random.Random) -> Iterator[Row]:
    """Rows of the three template files."""
    files = {name: yaml.safe_load((HERE / f"{name}.yaml").read_text(encoding="utf-8")) for name in ("attacks", "harmless", "harm")}
    slots = files["attacks"].pop("slots") | files["harmless"].pop("slots")
    yield from _attack_rows(files["attacks"], slots, config, passages, rng)
    none = dict.fromkeys(HEADS, 0)
    for family, lines in files["harmless"]["harmless"].items():
        for line in lines:
            held = _held_out(line, config["development_share"])
            for _ in range(config["per_template"]["harmless"]):
                yield Row(_dressed(expand(line, slots, rng), rng), f"harmless/{family}", held, none)
    yield from _harm_rows(files["harm"], slots, config, rng)


def _attack_rows(
    files: Mapping[str, Any], slots: Mapping[str, list[str]], config: Mapping[str, Any], passages: list[str], rng: random.Random
) -> Iterator[Row]:
    lines = [(kind, family, line) for kind, families in files.items() for family, members in families.items() for line in members]
    for kind, family, line in lines:
        held = _held_out(line, config["development_share"])
        # One text can be several attacks at once: the other attack heads learn nothing from it.
        labels = {
            "jailbreak": {"jailbreak": 1},
            "injection": {"injection": 1, "passage_injection": 1},
            "extraction": {"prompt_extraction": 1},
        }[kind]
        for _ in range(config["per_template"]["attacks"]):
            text = _dressed(expand(line, slots, rng), rng)
            if kind == "injection" and passages and rng.random() < config["embedded_share"]:
                text = _embedded(text, rng.choice(passages), rng)
            yield Row(text, f"attacks/{kind}.{family}", held, labels)


def _harm_rows(files: Mapping[str, Any], slots: Mapping[str, list[str]], config: Mapping[str, Any], rng: random.Random) -> Iterator[Row]:
    for head, lines in files.items():
        clear = {h: 0 for h in HARMS if h not in _neighbours(head)}
        for place, line in enumerate(lines):
            held = place % round(1 / config["development_share"]) == 2  # few templates: by place, so that every head keeps some back
            for _ in range(config["per_template"]["harm"]):
                yield Row(_dressed(expand(line, slots, rng), rng), f"harm/{head}", held, {**dict.fromkeys(ATTACKS, 0), **clear, head: 1})


def _neighbours(head: str) -> set[str]:
    """Categories that a text of this one may well carry too."""
    return {"harm.hate": {"harm.harassment", "harm.violence"}, "harm.harassment": {"harm.hate"}, "harm.violence": {"harm.illicit", "harm.hate"},
            "harm.illicit": {"harm.violence"}}.get(head, set())  # fmt: skip


def _embedded(attack: str, passage: str, rng: random.Random) -> str:
    around = [" ".join(part.split()[:14]) for part in (rng.choice(re.split(r"(?<=[.!?|])\s+", passage)), passage)]
    at = rng.randrange(len(around) + 1)
    return rng.choice((" ", "\n", "\n\n")).join([*around[:at], attack, *around[at:]])


def _cut(text: str, rng: random.Random) -> str:
    """One window of a long text: serving reads windows of this many words too."""
    words = text.split(" ")
    at = rng.randrange(max(1, len(words) - WINDOW_WORDS + 1))
    return " ".join(words[at : at + WINDOW_WORDS])


def passages(data: Path, config: Mapping[str, Any], rng: random.Random) -> list[tuple[str, str]]:
    """(folder, passage): harmless prose to embed attacks in and to learn silence from."""
    out: list[tuple[str, str]] = []
    if (folder := data / "openstax_text").is_dir():
        found = [
            p.strip() for f in sorted(folder.rglob("*.txt")) for p in f.read_text("utf-8", "replace").split("\n") if 150 < len(p) < 900
        ]
        out += [("openstax_text", p) for p in rng.sample(found, min(len(found), config["data"]["openstax_text"]))]
    if (folder := data / "factbook").is_dir():
        found = [
            re.sub(r"<[^>]+>|\s+", " ", m)
            for f in sorted(folder.rglob("*.json"))
            for m in re.findall(r'"text": "([^"]{150,800})"', f.read_text("utf-8", "replace"))
        ]
        out += [("factbook", p) for p in rng.sample(found, min(len(found), config["data"]["factbook"]))]
    if (folder := data / "bipia_injection").is_dir():
        for name in ("email", "table", "code"):
            lines = (folder / f"{name}__train.jsonl").read_text("utf-8").splitlines()
            contexts = [_text(json.loads(line)["context"])[:900] for line in lines]
            out += [("bipia_injection", p) for p in rng.sample(contexts, min(len(contexts), 150))]
    return out


def folders(data: Path, config: Mapping[str, Any], clean: list[tuple[str, str]], rng: random.Random) -> Iterator[Row]:
    """Rows of the open folders."""
    share, none = config["development_share"], dict.fromkeys(HEADS, 0)
    for name, passage in clean:
        yield Row(_cut(passage, rng), name, _held_out(passage, share), none)
    yield from _bipia(data / "bipia_injection", config, clean, rng)
    yield from _tweets(data / "hate_davidson" / "labeled_data.csv", config, rng)
    yield from _asked(data / "hh_rlhf_harmless" / "test.jsonl.gz", config, rng)
    for name, key in (("squad_sample", "prompt"), ("gsm8k_train", "question")):
        lines = [line for f in sorted((data / name).glob("*train*.jsonl")) for line in f.read_text("utf-8").splitlines()]
        for line in rng.sample(lines, min(len(lines), config["data"][name])):
            text = _cut(_text(json.loads(line)[key])[-600:], rng)
            yield Row(text, name, _held_out(text, share), none)


def _bipia(folder: Path, config: Mapping[str, Any], clean: list[tuple[str, str]], rng: random.Random) -> Iterator[Row]:
    if not folder.is_dir():
        return
    attacks = json.loads((folder / "text_attack_train.json").read_text("utf-8"))
    # Only kinds that give orders about the answer: a lone question inside a passage is no order.
    orders = [a for kind, items in attacks.items() for a in items if kind not in _QUESTIONS]
    for _ in range(config["data"]["bipia_injection"]):
        order, (_, passage) = rng.choice(orders), rng.choice(clean)
        yield Row(
            _embedded(order, passage, rng), "bipia_injection", _held_out(order, config["development_share"]), {"passage_injection": 1}
        )


def _tweets(file: Path, config: Mapping[str, Any], rng: random.Random) -> Iterator[Row]:
    if not file.is_file():
        return
    with file.open(encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    meaning = {"0": {"harm.hate": 1, "harm.harassment": 1}, "1": {"harm.hate": 0, "harm.harassment": 1}, "2": dict.fromkeys(HEADS, 0)}
    for kind, labels in meaning.items():
        texts = [row["tweet"] for row in rows if row["class"] == kind]
        for tweet in rng.sample(texts, min(len(texts), config["data"]["hate_davidson"] // 3)):
            yield Row(_tweet(tweet), "hate_davidson", _held_out(tweet, config["development_share"]), labels)


def _asked(file: Path, config: Mapping[str, Any], rng: random.Random) -> Iterator[Row]:
    """People who ask for bad things in plain words: no attack on the model. Which harm it is, the source does not say."""
    if not file.is_file():
        return
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        asked = [json.loads(line)["chosen"].split("\n\nAssistant:")[0].replace("\n\nHuman: ", "") for line in lines]
    for text in rng.sample(asked, min(len(asked), config["data"]["hh_rlhf_harmless"])):
        yield Row(
            _cut(text, rng),
            "hh_rlhf_harmless",
            _held_out(text, config["development_share"]),
            {**dict.fromkeys(ATTACKS, 0), "passage_injection": 0},
        )


_QUESTIONS = frozenset({"Information Retrieval", "Content Creation", "Learning and Tutoring", "Language Translation", "Programming Help"})


def _text(value: object) -> str:
    return (
        value
        if isinstance(value, str)
        else json.dumps(value, ensure_ascii=False)
        if not isinstance(value, list)
        else "\n".join(map(str, value))
    )


def _tweet(text: str) -> str:
    return re.sub(r"https?://\S+|@\w+:?|&#?\w+;|^RT ", " ", text).strip()


def collect(data: Path | None, config: Mapping[str, Any]) -> list[Row]:
    """Every row, shuffled; without `data` the templates alone."""
    rng = random.Random(config["seed"])
    clean = passages(data, config, rng) if data else []
    rows = list(templates(config, [p for _, p in clean], rng))
    if data:
        rows += list(folders(data, config, clean, rng))
    unique = {row.text: row for row in rows if row.text}
    rows = list(unique.values())
    rng.shuffle(rows)
    return rows
