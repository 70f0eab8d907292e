"""Rows of the open folders of SLIPWAY_DATA_DIR.

It knows which label each source carries, and which it leaves open. It refuses to know templates.
"""

import csv
import gzip
import json
import random
import re
from collections.abc import Iterator
from pathlib import Path

from slipway_training.safety.config import SafetyConfig
from slipway_training.safety.manuals import WINDOW_WORDS
from slipway_training.safety.templates import ATTACKS, HEADS, Row, embedded, fold_of, held_out

_QUESTIONS = frozenset({"Information Retrieval", "Content Creation", "Learning and Tutoring", "Language Translation", "Programming Help"})
_ASKED = re.compile(r"^Please (?:answer|choose)[^\n]*?question[^\n:]*: (.+?)(?:\n|$)")  # the carrier's words around a question say nothing
HELD_OUT_KINDS = frozenset({"Persuasion", "Homophonic Substitution", "Malware Distribution"})
"""Kinds of bipia orders that training never sees: the red-team report measures on them."""


def _cut(text: str, rng: random.Random) -> str:
    """One window of a long text: serving reads windows of this many words too."""
    words = text.split(" ")
    at = rng.randrange(max(1, len(words) - WINDOW_WORDS + 1))
    return " ".join(words[at : at + WINDOW_WORDS])


def passages(data: Path, config: SafetyConfig, rng: random.Random) -> list[tuple[str, str]]:
    """(folder, passage): harmless prose to embed attacks in and to learn silence from."""
    out: list[tuple[str, str]] = []
    if (folder := data / "openstax_text").is_dir():
        found = [
            p.strip() for f in sorted(folder.rglob("*.txt")) for p in f.read_text("utf-8", "replace").split("\n") if 150 < len(p) < 900
        ]
        out += [("openstax_text", p) for p in rng.sample(found, min(len(found), config.data.openstax_text))]
    if (folder := data / "factbook").is_dir():
        found = [
            re.sub(r"<[^>]+>|\s+", " ", m)
            for f in sorted(folder.rglob("*.json"))
            for m in re.findall(r'"text": "([^"]{150,800})"', f.read_text("utf-8", "replace"))
        ]
        out += [("factbook", p) for p in rng.sample(found, min(len(found), config.data.factbook))]
    if (folder := data / "bipia_injection").is_dir():
        for name in ("email", "table", "code"):
            lines = (folder / f"{name}__train.jsonl").read_text("utf-8").splitlines()
            contexts = [_text(json.loads(line)["context"])[:900] for line in lines]
            out += [("bipia_injection", p) for p in rng.sample(contexts, min(len(contexts), 150))]
    return out


def rows(data: Path, config: SafetyConfig, clean: list[tuple[str, str]], rng: random.Random) -> Iterator[Row]:
    """Rows of the open folders that are there."""
    folds, none = config.members, dict.fromkeys(HEADS, 0)
    for name, passage in clean:
        yield Row(_cut(passage, rng), name, fold_of(passage, folds), none)
    yield from _bipia(data / "bipia_injection", config, clean, rng)
    yield from _tweets(data / "hate_davidson" / "labeled_data.csv", config, rng)
    yield from _asked(data / "hh_rlhf_harmless" / "test.jsonl.gz", config, rng)
    for name, key, pattern, count in (
        ("squad_sample", "prompt", "*train*.jsonl", config.data.squad_sample),
        ("gsm8k_train", "question", "*train*.jsonl", config.data.gsm8k_train),
        ("commonsense_mc", "instruction", "*.json", config.data.commonsense_mc),
    ):
        texts = [text for file in sorted((data / name).rglob(pattern)) for text in _field(file, key)]
        for found in rng.sample(texts, min(len(texts), count)):
            text = _cut(found[-600:], rng)
            yield Row(text, name, fold_of(text, folds), none)


def _field(file: Path, key: str) -> list[str]:
    raw = file.read_text("utf-8")
    found = json.loads(raw) if file.suffix == ".json" else [json.loads(line) for line in raw.splitlines()]
    asked = [_text(row[key]) for row in found if row.get(key)]
    return [match.group(1) if (match := _ASKED.search(text)) else text for text in asked]


def _bipia(folder: Path, config: SafetyConfig, clean: list[tuple[str, str]], rng: random.Random) -> Iterator[Row]:
    if not folder.is_dir():
        return
    attacks = json.loads((folder / "text_attack_train.json").read_text("utf-8"))
    # Only kinds that give orders about the answer: a lone question inside a passage is no order.
    orders = [a for kind, items in attacks.items() if kind not in _QUESTIONS | HELD_OUT_KINDS for a in items]
    for _ in range(config.data.bipia_injection):
        order, (_, passage) = rng.choice(orders), rng.choice(clean)
        yield Row(embedded(order, passage, rng), "bipia_injection", fold_of(order, config.members), {"passage_injection": 1})


def _tweets(file: Path, config: SafetyConfig, rng: random.Random) -> Iterator[Row]:
    if not file.is_file():
        return
    with file.open(encoding="utf-8") as handle:
        found = list(csv.DictReader(handle))
    meaning = {"0": {"harm.hate": 1, "harm.harassment": 1}, "1": {"harm.hate": 0, "harm.harassment": 1}, "2": dict.fromkeys(HEADS, 0)}
    for kind, labels in meaning.items():
        # A third of the tweets is kept from training altogether: the report's slices are measured on it.
        texts = [row["tweet"] for row in found if row["class"] == kind and not held_out(f"slice {row['tweet']}", 1 / 3)]
        for tweet in rng.sample(texts, min(len(texts), config.data.hate_davidson // 3)):
            yield Row(_tweet(tweet), "hate_davidson", fold_of(tweet, config.members), labels)


def _asked(file: Path, config: SafetyConfig, rng: random.Random) -> Iterator[Row]:
    """People who ask for bad things in plain words: no attack on the model. Which harm it is, the source does not say."""
    if not file.is_file():
        return
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        asked = [json.loads(line)["chosen"].split("\n\nAssistant:")[0].replace("\n\nHuman: ", "") for line in lines]
    labels = {**dict.fromkeys(ATTACKS, 0), "passage_injection": 0}
    for text in rng.sample(asked, min(len(asked), config.data.hh_rlhf_harmless)):
        yield Row(_cut(text, rng), "hh_rlhf_harmless", fold_of(text, config.members), labels)


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    return "\n".join(map(str, value)) if isinstance(value, list) else json.dumps(value, ensure_ascii=False)


def _tweet(text: str) -> str:
    return re.sub(r"https?://\S+|@\w+:?|&#?\w+;|^RT ", " ", text).strip()
