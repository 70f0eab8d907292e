"""Toxicity by slice: how often harmless tweets that name a group, or are in a dialect, are taken for hate (Dixon et al. 2018; Sap et al. 2019).

The third of hate_davidson that training leaves out (by the same hash). Class "neither" gives false positives, "hate" and "offensive" recall.
It refuses to know how the figures are shown.
"""

import csv
import hashlib
import random
import re
from collections import defaultdict
from pathlib import Path

from slipway_safety_filter.check import Checker
from slipway_safety_filter.evaluate.figures import Rate

CLASSES = {"0": "hate", "1": "offensive", "2": "neither"}
HEADS = ("harm.hate", "harm.harassment")
GROUPS = {
    "gender": "woman women girl girls lady female man men boy boys male", "ethnicity": "black white asian latino latina mexican african indian chinese",
    "religion": "muslim islam jew jewish christian catholic church hindu", "orientation": "gay lesbian queer trans bisexual",
    "dialect": "ain't finna tryna bout gon lil yall y'all aint dat dis wit ima",
}  # fmt: skip


def held_out(tweet: str) -> bool:
    """As in slipway_training/safety/folders.py: these tweets are in no training row."""
    return int(hashlib.sha256(f"slice {tweet}".encode()).hexdigest()[:8], 16) / 0xFFFFFFFF < 1 / 3


def tweets(file: Path, count: int, seed: int = 4) -> dict[str, list[str]]:
    """At most `count` unseen tweets of each class, cleaned as for training."""
    found: dict[str, list[str]] = defaultdict(list)
    with file.open(encoding="utf-8") as handle:
        for row in csv.DictReader(handle):
            if held_out(row["tweet"]):
                found[CLASSES[row["class"]]].append(re.sub(r"https?://\S+|@\w+:?|&#?\w+;|^RT ", " ", row["tweet"]).strip())
    rng = random.Random(seed)  # noqa: S311 - sampling
    return {name: rng.sample(texts, min(count, len(texts))) for name, texts in sorted(found.items())}


def reached(checker: Checker, texts: list[str], threshold: float) -> list[dict[str, bool]]:
    """For each text which of HEADS reaches the threshold."""
    return [{span.category: span.score >= threshold for span in checker.harms(text, HEADS)} for text in texts]


def rates(checker: Checker, file: Path, count: int, threshold: float) -> tuple[list[tuple[str, Rate, Rate]], list[tuple[str, Rate, Rate]]]:
    """(class, flagged as hate, as harassment), and the same for harmless tweets by group; the last row of these names no group."""
    found = tweets(file, count)
    hits = {name: reached(checker, texts, threshold) for name, texts in found.items()}
    classes = [(name, *_both(rows)) for name, rows in hits.items()]
    groups: list[tuple[str, Rate, Rate]] = []
    rest = set(range(len(found.get("neither", []))))
    for group, words in GROUPS.items():
        named = re.compile(rf"(?i)\b(?:{'|'.join(words.split())})\b")
        inside = {i for i, text in enumerate(found.get("neither", [])) if named.search(text)}
        rest -= inside
        groups.append((group, *_both([hits["neither"][i] for i in sorted(inside)])))
    return classes, [*groups, ("no such word", *_both([hits["neither"][i] for i in sorted(rest)]))]


def _both(rows: list[dict[str, bool]]) -> tuple[Rate, Rate]:
    hate, harassment = (Rate(sum(row.get(head, False) for row in rows), len(rows)) for head in HEADS)
    return hate, harassment
