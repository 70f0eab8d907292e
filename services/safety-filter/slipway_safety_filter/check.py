"""One check: detectors over a text, the policy over their findings, and the verdict with its reasons.

It knows the order of things and how a text is redacted. It refuses to know HTTP and how a detector works inside.
"""

import hashlib
import hmac
from collections.abc import Mapping, Sequence

from slipway_shared.contracts import CheckRequest, CheckResponse, Finding, VerdictName

from slipway_safety_filter import attacks, credentials, hold, leaks, national_ids, pii, views
from slipway_safety_filter.classifier import HARM_HEADS, Classifier, Guess
from slipway_safety_filter.pattern import Patterns
from slipway_safety_filter.policy import Policy
from slipway_safety_filter.spans import Span, settle

PATTERNS = (*pii.PATTERNS, *national_ids.PATTERNS, *credentials.PATTERNS)
_STRUCTURED = Patterns(PATTERNS)
SUSPECT, DOUBTED = 0.05, 0.5
"""A rule's score counts in full from the first probability on, and by the second share where the classifier sees nothing at all."""
PASSAGE_HEAD = "passage_injection"
SPAN_CATEGORIES = tuple(sorted({pattern.category for pattern in PATTERNS}))


class Checker:
    """Holds the key of its placeholders and the classifier. Safe to call from several threads.

    Without a classifier the rules alone decide: the weightless form.
    """

    def __init__(self, key: bytes, classifier: Classifier | None = None) -> None:
        self._key = key
        self._classifier = classifier

    @property
    def encodes(self) -> bool:
        """Whether prompts and passages are read by the encoder, which takes milliseconds."""
        return self._classifier is not None

    def check(self, request: CheckRequest, policy: Policy) -> CheckResponse:
        """The verdict on `request` under `policy`."""
        text = request.text
        spans = [s for s in structured(text) if text[s.start : s.end] not in policy.allow]
        found = [*spans, *(leaks.find(text, request.protected) if request.side == "output" else self.attacks(text))]
        found += self.harms(text, [head for head in HARM_HEADS if policy.action(head, request.side) != "allow"])
        findings = [self._finding(span, request, policy) for span in found if span.score >= policy.row(span.category).threshold]
        passage_findings, dropped = self._passages(request.passages, policy)
        verdict = _worst([f.action for f in findings])
        redacted, placeholders = _redacted(text, findings) if verdict == "redact" else (None, {})
        return CheckResponse(
            verdict=verdict, findings=findings + passage_findings, text=redacted, dropped=dropped, policy=policy.id, placeholders=placeholders,
            hold_from=_hold(request, policy, spans),
        )  # fmt: skip

    def attacks(self, text: str) -> list[Span]:
        """Injection, jailbreak and prompt extraction in a prompt: rules and classifier, each adding to the other's certainty."""
        spans = {a.category: Span(a.category, a.rule, a.start, a.end, a.score) for a in attacks.find(text)}
        if self._classifier is None:
            return list(spans.values())
        guesses = self._classifier.guess(text, attacks.CATEGORIES, focus=_places(spans))
        if (plain := views.leetspeak(text)) is not None:
            guesses += self._classifier.guess(plain, attacks.CATEGORIES)
        # An override that asks for a jailbreak is an attack, whichever head sees it.
        seen = max(guess.score for guess in guesses)
        for guess in guesses:
            known = spans.get(guess.head)
            if known is None or known.rule != "classifier":
                spans[guess.head] = _joined(known, _as_span(guess, guess.head), seen)
            elif guess.score > known.score:
                spans[guess.head] = _as_span(guess, guess.head)
        return [span for span in spans.values() if span.score > 0]

    def orders(self, passage: str) -> list[Span]:
        """Orders to the model inside retrieved text."""
        spans = {a.category: Span(a.category, a.rule, a.start, a.end, a.score) for a in attacks.find(passage)}
        if self._classifier is not None:
            guesses = {g.head: g for g in self._classifier.guess(passage, (PASSAGE_HEAD, "injection"), focus=_places(spans))}
            rule, seen = spans.get("injection"), guesses[PASSAGE_HEAD]
            # Manuals give orders too. Alone, the two heads must agree: an order inside data, and one that is meant for a model.
            alone = min(seen, guesses["injection"], key=lambda guess: guess.score)
            joined = _as_span(alone, "injection") if rule is None else _joined(rule, _as_span(alone, "injection"), seen.score)
            spans["injection"] = joined
        return [span for span in spans.values() if span.score > 0]

    def harms(self, text: str, wanted: Sequence[str]) -> list[Span]:
        """The harm categories among `wanted`, each with its calibrated probability; the encoder reads every window."""
        if self._classifier is None or not wanted:
            return []
        return [Span(g.head, "classifier", g.start, g.end, g.score) for g in self._classifier.guess(text, wanted, thorough=True)]

    def _passages(self, passages: Sequence[str], policy: Policy) -> tuple[list[Finding], tuple[int, ...]]:
        """Findings in passages; a passage with one that the policy acts on in a prompt must not reach a prompt."""
        findings = [
            Finding(category=s.category, rule=s.rule, score=s.score, threshold=policy.row(f"{s.category}.passage").threshold, start=s.start,
                    end=s.end, passage=n, action=policy.action(f"{s.category}.passage", "input"))
            for n, passage in enumerate(passages) for s in self.orders(passage) if s.score >= policy.row(f"{s.category}.passage").threshold
        ]  # fmt: skip
        return findings, tuple(sorted({f.passage for f in findings if f.action != "allow" and f.passage is not None}))

    def _finding(self, span: Span, request: CheckRequest, policy: Policy) -> Finding:
        action = policy.action(span.category, request.side)
        value = request.text[span.start : span.end]
        return Finding(
            category=span.category, rule=span.rule, score=span.score, threshold=policy.row(span.category).threshold, start=span.start,
            end=span.end, action=action, placeholder=self._placeholder(span.category, value) if action == "redact" else None,
        )  # fmt: skip

    def _placeholder(self, category: str, value: str) -> str:
        """The same value gives the same placeholder, whatever its case and separators."""
        same = "".join(c for c in value.lower() if c.isalnum() or c in "@+")
        digest = hmac.new(self._key, f"{category}\0{same}".encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:8]
        return f"[{category.rpartition('.')[2].upper()}_{digest}]"


def _hold(request: CheckRequest, policy: Policy, spans: Sequence[Span]) -> int | None:
    if request.side == "input" or request.final:
        return None
    enforced = [c for c in SPAN_CATEGORIES if policy.action(c, "output") != "allow"]
    return hold.hold_from(request.text, enforced, [s for s in spans if s.category in enforced])


def _places(spans: Mapping[str, Span]) -> list[tuple[int, int]]:
    return [(span.start, span.end) for span in spans.values() if span.end > span.start]


def _as_span(guess: Guess, category: str) -> Span:
    return Span(category, "classifier", guess.start, guess.end, guess.score)


def _joined(rule: Span | None, guess: Span, seen: float | None = None) -> Span:
    """Two witnesses of one thing: what is left of the doubt is the product of their doubts. The surer one names the rule.

    `seen`: how sure the classifier is that there is something at all, where that is another figure than the guess.
    """
    if rule is None:
        return guess
    # A phrase alone counts less where the whole window reads as harmless; one that was hidden in an encoding cannot be read by the classifier.
    trust = (
        1.0 if rule.rule.startswith("hidden_") else DOUBTED + (1 - DOUBTED) * min(1.0, (guess.score if seen is None else seen) / SUSPECT)
    )
    score = round(1 - (1 - trust * rule.score) * (1 - guess.score), 4)
    sure = rule if rule.score >= guess.score else guess
    return Span(sure.category, sure.rule, sure.start, sure.end, score)


def structured(text: str) -> list[Span]:
    """Personal data and credentials in `text`, also where look-alikes or invisible characters hide them; no two overlap."""
    spans = _STRUCTURED.find(text) + credentials.random_runs(text)
    if (view := views.folded(text)) is not None:
        spans += [span.moved(view.starts, view.ends) for span in _STRUCTURED.find(view.text)]
    return settle(spans)


def _worst(actions: Sequence[VerdictName]) -> VerdictName:
    return "block" if "block" in actions else "redact" if "redact" in actions else "allow"


def _redacted(text: str, findings: Sequence[Finding]) -> tuple[str, dict[str, str]]:
    out: list[str] = []
    placeholders: dict[str, str] = {}
    at = 0
    for finding in sorted((f for f in findings if f.placeholder and f.passage is None), key=lambda f: f.start):
        if finding.start < at or finding.placeholder is None:
            continue
        out += [text[at : finding.start], finding.placeholder]
        placeholders[finding.placeholder] = text[finding.start : finding.end]
        at = finding.end
    return "".join([*out, text[at:]]), placeholders
