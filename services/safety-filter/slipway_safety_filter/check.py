"""One check: detectors over a text, the policy over their findings, and the verdict with its reasons.

It knows the order of things and how a text is redacted. It refuses to know HTTP and how a detector works inside.
"""

import hashlib
import hmac
import math
from collections.abc import Mapping, Sequence

from slipway_shared.contracts import CheckRequest, CheckResponse, Finding, Side, VerdictName

from slipway_safety_filter import attacks, credentials, hold, leaks, names, national_ids, pii, views
from slipway_safety_filter.classifier import HARM_HEADS, Classifier, Guess
from slipway_safety_filter.names import Names
from slipway_safety_filter.own import Own
from slipway_safety_filter.pattern import Patterns
from slipway_safety_filter.policy import Policy
from slipway_safety_filter.roles import SYSTEM, Asked, instructed
from slipway_safety_filter.spans import Span, settle

PATTERNS = (*pii.PATTERNS, *national_ids.PATTERNS, *credentials.PATTERNS)
_STRUCTURED = Patterns(PATTERNS)
RULE_LOGITS = 3.0
"""How many logits of the attack heads a rule of score 1 is worth. Chosen on collections of attacks (docs/safety.md): products of doubts, which stood here
before, let a phrase that is only quoted outweigh a classifier that reads the whole sentence."""
PASSAGE_HEAD = "passage_injection"
SPAN_CATEGORIES = tuple(sorted({pattern.category for pattern in PATTERNS}))


class Checker:
    """Holds the key of its placeholders and the models. Safe to call from several threads.

    Without a classifier the rules alone decide, and without a reader of names the patterns: the weightless form.
    """

    def __init__(self, key: bytes, classifier: Classifier | None = None, own: Sequence[Own] = (), names: Names | None = None) -> None:
        self._key = key
        self._names = names
        self._own = own
        self._classifier = classifier

    @property
    def encodes(self) -> bool:
        """Whether prompts and passages are read by the encoder, which takes milliseconds."""
        return self._classifier is not None

    def names_read(self, policy: Policy, side: Side) -> bool:
        """Whether the reader of names reads texts of `side`: where there is one, and the policy does something about names."""
        row = policy.row(names.CATEGORY)
        return self._names is not None and (row.input if side == "input" else row.output) != "allow"

    def check(self, request: CheckRequest, policy: Policy) -> CheckResponse:
        """The verdict on `request` under `policy`."""
        text = request.text
        spans = [s for s in self._personal(text, request.side, policy) if text[s.start : s.end] not in policy.allow]
        found = [*spans, *(leaks.find(text, request.protected) if request.side == "output" else self._asked(request, policy))]
        found += self.harms(text, [head for head in HARM_HEADS if policy.action(head, request.side) != "allow"])
        found += self.owned(text, request.side)
        findings = [self._finding(span, request, policy) for span in found if span.score >= policy.row(span.category).threshold]
        passage_findings, dropped = self._passages(request.passages, policy)
        verdict = _worst([f.action for f in findings])
        redacted, placeholders = _redacted(text, findings) if verdict == "redact" else (None, {})
        return CheckResponse(
            verdict=verdict, findings=findings + passage_findings, text=redacted, dropped=dropped, policy=policy.id, placeholders=placeholders,
            hold_from=self._hold(request, policy, spans),
        )  # fmt: skip

    def _personal(self, text: str, side: Side, policy: Policy) -> list[Span]:
        """Personal data and credentials, no two overlapping: what patterns find, and between it the names that the model reads."""
        spans = structured(text)
        if self._names is None or not self.names_read(policy, side):
            return spans
        free = (name for name in self._names.find(text) if all(name.end <= s.start or name.start >= s.end for s in spans))
        return sorted([*spans, *free], key=lambda s: s.start)

    def attacks(self, text: str) -> list[Span]:
        """Injection, jailbreak and prompt extraction in a prompt: rules and classifier, each adding to the other's certainty."""
        rules = _rules(text)
        if self._classifier is None:
            return list(rules.values())
        guesses = {g.head: g for g in self._classifier.guess(text, attacks.CATEGORIES, focus=_places(rules))}
        if (plain := views.leetspeak(text)) is not None:
            for guess in self._classifier.guess(plain, attacks.CATEGORIES):
                guesses[guess.head] = max(guesses[guess.head], guess, key=lambda one: one.score)
        spans = {head: self._joined(rules.get(head), _as_span(guess, head)) for head, guess in guesses.items()}
        if rules:
            # An override that asks for a jailbreak is an attack, whichever head sees it: the strongest of both kinds belong together.
            rule, guess = max(rules.values(), key=lambda span: span.score), max(guesses.values(), key=lambda one: one.score)
            both = self._joined(rule, _as_span(guess, guess.head))
            spans[both.category] = max(spans[both.category], both, key=lambda span: span.score)
        return [span for span in spans.values() if span.score > 0]

    def _asked(self, request: CheckRequest, policy: Policy) -> list[Span]:
        """Attacks in a prompt. A system message is the developer's, who may give orders and keep secrets: it has rows of its own, and the classifier reads
        it only for a policy that acts on what it finds there."""
        if not request.system:
            return self.attacks(request.text)
        asked = Asked(request.text, request.system)
        found = [asked.back(span) for span in self.attacks(asked.text)] if asked.text.strip() else []
        acted = any(policy.action(f"{category}.{SYSTEM}", request.side) != "allow" for category in attacks.CATEGORIES)
        for start, end in request.system:
            message = request.text[start:end]
            found += [instructed(span, start) for span in (self.attacks(message) if acted else _rules(message).values())]
        return found

    @property
    def own_categories(self) -> tuple[str, ...]:
        """The categories of the operator's own checks."""
        return tuple(own.category for own in self._own)

    def owned(self, text: str, side: Side) -> list[Span]:
        """What the operator's own checks find; raises Internal where one fails."""
        return [span for own in self._own for span in own.spans(text, side)]

    def orders(self, passage: str) -> list[Span]:
        """Orders to the model inside retrieved text."""
        spans = _rules(passage)
        if self._classifier is not None:
            guesses = {g.head: g for g in self._classifier.guess(passage, (PASSAGE_HEAD, "injection"), focus=_places(spans))}
            # Manuals give orders too. The two heads must agree: an order inside data, and one that is meant for a model.
            alone = min(guesses.values(), key=lambda guess: guess.score)
            spans["injection"] = self._joined(spans.get("injection"), _as_span(alone, "injection"))
        return [span for span in spans.values() if span.score > 0]

    def _joined(self, rule: Span | None, guess: Span) -> Span:
        """Two witnesses of one thing: the rule moves the classifier's logit. The surer one names the finding."""
        if rule is None or self._classifier is None:
            return guess
        doubt = math.exp(-_logit(guess.score) - self._classifier.slope * RULE_LOGITS * rule.score)
        score = 1 / (1 + doubt)
        if rule.rule.startswith("hidden_"):
            score = max(score, rule.score)  # the classifier could not read what an encoding hides
        sure = rule if rule.score >= guess.score else guess
        return Span(sure.category, sure.rule, sure.start, sure.end, round(score, 4))

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

    def _hold(self, request: CheckRequest, policy: Policy, spans: Sequence[Span]) -> int | None:
        if request.side == "input" or request.final:
            return None
        enforced = [c for c in SPAN_CATEGORIES if policy.action(c, "output") != "allow"]
        if names.CATEGORY in enforced and self.names_read(policy, "output"):
            enforced.append(hold.READ_NAMES)
        return hold.hold_from(request.text, enforced, [s for s in spans if s.category in enforced])

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


def _places(spans: Mapping[str, Span]) -> list[tuple[int, int]]:
    return [(span.start, span.end) for span in spans.values() if span.end > span.start]


def _as_span(guess: Guess, category: str) -> Span:
    return Span(category, "classifier", guess.start, guess.end, guess.score)


def _rules(text: str) -> dict[str, Span]:
    return {a.category: Span(a.category, a.rule, a.start, a.end, a.score) for a in attacks.find(text)}


def _logit(score: float) -> float:
    score = min(max(score, 1e-6), 1 - 1e-6)
    return math.log(score / (1 - score))


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
