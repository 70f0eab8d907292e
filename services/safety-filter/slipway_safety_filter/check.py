"""One check: detectors over a text, the policy over their findings, and the verdict with its reasons.

It knows the order of things and how a text is redacted. It refuses to know HTTP and how a detector works inside.
"""

import hashlib
import hmac
from collections.abc import Sequence

from slipway_shared.contracts import CheckRequest, CheckResponse, Finding, Side, VerdictName

from slipway_safety_filter import attacks, credentials, hold, leaks, national_ids, pii, views
from slipway_safety_filter.pattern import find_all
from slipway_safety_filter.policy import Policy
from slipway_safety_filter.spans import Span, settle

PATTERNS = (*pii.PATTERNS, *national_ids.PATTERNS, *credentials.PATTERNS)
SPAN_CATEGORIES = tuple(sorted({pattern.category for pattern in PATTERNS}))


class Checker:
    """Holds nothing between checks but the key of its placeholders. Safe to call from several threads."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def check(self, request: CheckRequest, policy: Policy) -> CheckResponse:
        """The verdict on `request` under `policy`."""
        spans = structured(request.text)
        spans = [s for s in spans if s.score >= policy.row(s.category).threshold and request.text[s.start : s.end] not in policy.allow]
        findings = [self._finding(span, request, policy) for span in spans]
        if request.side == "input":
            findings += _attack_findings(request.text, "input", policy)
        else:
            findings += [
                self._finding(s, request, policy)
                for s in leaks.find(request.text, request.protected)
                if s.score >= policy.row(s.category).threshold
            ]
        passage_findings, dropped = _passages(request.passages, policy)
        findings += passage_findings
        verdict = _worst([f.action for f in findings if f.passage is None])
        text, placeholders = _redacted(request.text, findings) if verdict == "redact" else (None, {})
        return CheckResponse(
            verdict=verdict, findings=findings, text=text, dropped=dropped, policy=policy.id, placeholders=placeholders,
            hold_from=self._hold(request, policy, spans),
        )  # fmt: skip

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

    def _hold(self, request: CheckRequest, policy: Policy, spans: Sequence[Span]) -> int | None:
        if request.side == "input" or request.final:
            return None
        enforced = [c for c in SPAN_CATEGORIES if policy.action(c, "output") != "allow"]
        return hold.hold_from(request.text, enforced, [s for s in spans if s.category in enforced])


def structured(text: str) -> list[Span]:
    """Personal data and credentials in `text`, also where look-alikes or invisible characters hide them; no two overlap."""
    spans = find_all(PATTERNS, text) + credentials.random_runs(text)
    if (view := views.folded(text)) is not None:
        spans += [span.moved(view.starts, view.ends) for span in find_all(PATTERNS, view.text)]
    return settle(spans)


def attack_scores(text: str) -> list[attacks.Attack]:
    """Injection, jailbreak and prompt extraction in `text`."""
    return attacks.find(text)


def _attack_findings(text: str, side: Side, policy: Policy, passage: int | None = None) -> list[Finding]:
    return [
        Finding(category=a.category, rule=a.rule, score=a.score, threshold=policy.row(a.category).threshold, start=a.start, end=a.end,
                passage=passage, action=policy.action(a.category, side))
        for a in attack_scores(text) if a.score >= policy.row(a.category).threshold
    ]  # fmt: skip


def _passages(passages: Sequence[str], policy: Policy) -> tuple[list[Finding], tuple[int, ...]]:
    """Findings in passages; a passage with one that the policy acts on in a prompt must not reach a prompt."""
    findings = [f for n, passage in enumerate(passages) for f in _attack_findings(passage, "input", policy, n)]
    return findings, tuple(sorted({f.passage for f in findings if f.action != "allow" and f.passage is not None}))


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
