"""What becomes of a model's answer when it is held against the passages: kept, replaced by quotes, or turned into an abstention.

Pure functions: it calls nobody and sends nothing.
"""

from dataclasses import dataclass, replace
from typing import Literal

from slipway_shared.grounding import NOT_IN_SOURCES, is_abstention, is_grounded

from slipway_gateway import extract
from slipway_gateway.ask import Ask
from slipway_gateway.evidence import Annotation, Evidence, cite

Kind = Literal["answer", "ungrounded", "fallback", "abstention", "refusal"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a request ends. `text` replaces the model's words; None keeps them as they are."""

    kind: Kind
    text: str | None
    annotations: tuple[Annotation, ...] = ()


def abstain(reason: str, evidence: Evidence) -> Outcome:
    """The typed answer that there is none."""
    return Outcome("abstention", NOT_IN_SOURCES, ({"type": "abstention", "reason": reason, "evidence": round(evidence.score, 4)},))


def instead(ask: Ask, evidence: Evidence, reason: str) -> Outcome | None:
    """Quotes in place of a model's answer; None when there is nothing to quote from."""
    if not evidence.passages:
        return None
    text = extract.answer(ask.question, evidence.texts, evidence.titles)
    if text is None:
        return abstain("no_sentence", evidence)
    return Outcome("fallback", text, ({"type": "fallback", "reason": reason}, *cite(text, evidence)))


def judge(ask: Ask, evidence: Evidence, text: str) -> Outcome:
    """The outcome of a model that said `text`. A reader must quote; a chat model's words are kept, and marked when they stand on nothing."""
    if not evidence.wanted:
        return Outcome("answer", None)
    if is_abstention(text):
        said = abstain(evidence.missing or "model_abstained", evidence)
        if ask.card.kind == "reader" and evidence.strong:
            return instead(ask, evidence, "model_abstained") or said
        return said if ask.card.kind == "reader" else replace(said, text=None)
    if evidence.missing:
        return Outcome("ungrounded", None, ({"type": "ungrounded", "reason": evidence.missing},))
    if _stands(ask, evidence, text):
        if ask.card.kind == "reader" and extract.support(ask.question, evidence.texts, text) < evidence.least_support:
            # It quotes, but from a sentence that is about something else.
            return instead(ask, evidence, "weak_support") or Outcome("answer", None, tuple(cite(text, evidence)))
        return Outcome("answer", None, tuple(cite(text, evidence)))
    if ask.card.kind == "reader":
        return instead(ask, evidence, "not_grounded") or abstain("no_passages", evidence)
    return Outcome("ungrounded", None, ({"type": "ungrounded", "reason": "not_supported"}, *cite(text, evidence)))


def _stands(ask: Ask, evidence: Evidence, text: str) -> bool:
    """Whether `text` stands on what was shown. A reader's quote is of a passage or of its heading: what runs over from one into the other is a slip of the pointer."""
    if ask.card.kind == "chat":
        return is_grounded(text, evidence.shown, "chat")
    return is_grounded(text, evidence.texts) or is_grounded(text, evidence.titles)
