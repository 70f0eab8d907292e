"""Documentation that lies on every machine: the Python reference, and the descriptions of installed packages.

Manuals give orders to people ("ignore the warning", "set the header"), which is what a reader of orders to machines must learn to leave alone.
It knows where such text is and its licence, and leaves out text that speaks of attacks on models. It refuses to know labels.
"""

import pydoc_data.topics
import random
import re
from collections.abc import Iterator
from email.message import Message
from importlib.metadata import Distribution, distributions
from typing import cast

WINDOW_WORDS = 44
MIN_WORDS = 12
_LEFT_OUT = re.compile(
    r"(?i)jail.?break|prompt.?injection|red.?team|ignore (?:all|previous)|guardrail|you are (?:an? |chatgpt)|system prompt"
)
_FENCE = re.compile(r"[ \t]+")


def python_manual(count: int, rng: random.Random) -> Iterator[tuple[str, str]]:
    """(topic, window) of the language reference (Python Software Foundation License 2.0)."""
    topics: dict[str, str] = pydoc_data.topics.topics
    return _windows(sorted(topics.items()), count, rng)


def package_pages(count: int, rng: random.Random) -> Iterator[tuple[str, str]]:
    """(package, window) of what installed packages say about themselves. A package is one key: its windows stay on one side of a split."""
    pages: dict[str, str] = {}
    for distribution in distributions():
        meta = _meta(distribution)
        body = str(meta.get_payload() or meta.get("Description", ""))
        if len(body) > 800:
            pages[meta["Name"].lower()] = body[:20_000]
    return _windows(sorted(pages.items()), count, rng)


def licences() -> dict[str, str]:
    """The licence that each package with a description names, for the model card."""
    out: dict[str, str] = {}
    for distribution in distributions():
        meta = _meta(distribution)
        named = [c.rpartition(":: ")[2] for c in meta.get_all("Classifier") or [] if c.startswith("License ::")]
        licence = meta.get("License-Expression") or (named[0] if named else (meta.get("License") or "not named").splitlines()[0][:60])
        out[meta["Name"].lower()] = licence
    return dict(sorted(out.items()))


def _meta(distribution: Distribution) -> Message:
    # What the library hands out is an e-mail message with a narrower name.
    return cast(Message, distribution.metadata)


def _windows(pages: list[tuple[str, str]], count: int, rng: random.Random) -> Iterator[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for key, body in pages:
        words = _FENCE.sub(" ", body).split(" ")
        found += [(key, " ".join(words[at : at + WINDOW_WORDS]).strip()) for at in range(0, len(words), WINDOW_WORDS)]
    kept = [(key, text) for key, text in found if len(text.split()) >= MIN_WORDS and _LEFT_OUT.search(text) is None]
    yield from rng.sample(kept, min(count, len(kept)))
