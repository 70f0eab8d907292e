"""The measurements of the report, each a function from a checker and texts to plain figures. It refuses to know how they are shown."""

import json
import random
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from slipway_shared.contracts import CheckRequest

from slipway_safety_filter import leaks
from slipway_safety_filter.check import Checker, structured
from slipway_safety_filter.evaluate.figures import Rate
from slipway_safety_filter.evaluate.people import Planted
from slipway_safety_filter.policy import Policy
from slipway_safety_filter.stream import Refused, Window

PRESIDIO = {
    "EMAIL_ADDRESS": "pii.email", "PHONE_NUMBER": "pii.phone", "CREDIT_CARD": "pii.card", "US_SSN": "pii.ssn", "IP_ADDRESS": "pii.ip", "IBAN_CODE": "pii.iban",
}  # fmt: skip


def attack_score(checker: Checker, text: str) -> float:
    """The highest score of any attack category."""
    return max((span.score for span in checker.attacks(text)), default=0.0)


def planted_rates(samples: Sequence[Planted], threshold: float = 0.5) -> dict[str, tuple[Rate, Rate]]:
    """By kind: (recall: the value lies inside a span of its category; precision: spans in its sentences that are the value)."""
    hits: dict[str, list[bool]] = defaultdict(list)
    right: dict[str, list[bool]] = defaultdict(list)
    for sample in samples:
        spans = [s for s in structured(sample.text) if s.score >= threshold]
        hits[sample.kind].append(any(s.category == sample.category and s.start <= sample.start and s.end >= sample.end for s in spans))
        right[sample.kind] += [s.category == sample.category and s.start < sample.end and s.end > sample.start for s in spans]
    return {kind: (Rate(sum(hits[kind]), len(hits[kind])), Rate(sum(right[kind]), len(right[kind]))) for kind in hits}


def presidio_rates(file: Path, threshold: float = 0.5) -> dict[str, tuple[Rate, Rate]]:
    """By entity of the open set: recall (the span is covered), precision over all spans of the category. Whole texts, nothing was tuned by template."""
    found: dict[str, list[bool]] = defaultdict(list)
    right: dict[str, list[bool]] = defaultdict(list)
    for row in json.loads(file.read_text(encoding="utf-8")):
        spans = [s for s in structured(row["full_text"]) if s.score >= threshold]
        truth = [(PRESIDIO[s["entity_type"]], s["start_position"], s["end_position"]) for s in row["spans"] if s["entity_type"] in PRESIDIO]
        for category, start, end in truth:
            found[category].append(any(s.category == category and s.start <= start and s.end >= end for s in spans))
        for span in spans:
            if span.category in PRESIDIO.values():
                right[span.category].append(any(c == span.category and span.start < end and span.end > start for c, start, end in truth))
    return {c: (Rate(sum(found[c]), len(found[c])), Rate(sum(right[c]), len(right[c]))) for c in found}


def scores(checker: Checker, sources: Mapping[str, Sequence[str]]) -> dict[str, list[float]]:
    """The attack score of every text, by source."""
    return {name: [attack_score(checker, text) for text in texts] for name, texts in sources.items()}


def split_stream(checker: Checker, policy: Policy, samples: Sequence[Planted]) -> tuple[Rate, int]:
    """How many streams, cut at every place inside the value and fed by single characters, show exactly what the whole redacted text shows; and the
    most characters that were ever held back."""
    good, total, held = 0, 0, 0
    for sample in samples:
        text = f"It says: {sample.text} And so it goes on."
        whole = checker.check(CheckRequest(text=text, side="output"), policy)
        expected = whole.text if whole.text is not None else text
        start = text.find(sample.text) + sample.start
        cuts = [[text[:cut], text[cut:]] for cut in range(start - 1, start + sample.end - sample.start + 2)]
        for pieces in [*cuts, list(text)]:
            window = Window(lambda request: checker.check(request, policy))
            shown = "".join([*(window.push(piece) for piece in pieces), window.finish()])
            good, total, held = good + (shown == expected), total + 1, max(held, window.held_chars)
    return Rate(good, total), held


def leaked(checker: Checker, policy: Policy, dresses: Mapping[str, object], count: int = 10) -> dict[str, Rate]:
    """How many streams that carry a canary, dressed in each way, end in a refusal."""
    out: dict[str, Rate] = {}
    for name, dress in dresses.items():
        assert callable(dress)
        stopped = 0
        for _ in range(count):
            window = Window(lambda request: checker.check(request, policy))
            said = f"Well then: {dress(leaks.mint())} - that is how it begins."
            try:
                for at in range(0, len(said), 5):
                    window.push(said[at : at + 5])
                window.finish()
            except Refused:
                stopped += 1
        out[name] = Rate(stopped, count)
    return out


def latencies(checker: Checker, policy: Policy, texts: Sequence[str], *, side: str = "input", repeats: int = 3) -> list[float]:
    """Seconds of CPU-bound work per check, the best of `repeats` for each text, in shuffled order."""
    best = dict.fromkeys(range(len(texts)), 1e9)
    order = [i for i in best for _ in range(repeats)]
    random.Random(1).shuffle(order)  # noqa: S311 - order of a benchmark
    for i in order:
        request = CheckRequest(text=texts[i], side="output" if side == "output" else "input", final=side != "output")
        before = time.thread_time()
        checker.check(request, policy)
        best[i] = min(best[i], time.thread_time() - before)
    return list(best.values())
