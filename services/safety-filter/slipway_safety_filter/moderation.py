"""OpenAI's moderation shape over our findings.

It knows the answer of `POST /v1/moderations`, and that operators may add categories to it. It refuses to know detectors.
"""

import secrets
from typing import Any

from pydantic import BaseModel
from slipway_shared.contracts import CheckResponse

from slipway_safety_filter.own import CATEGORY

MODEL = "slipway-safety"
HARM_CATEGORIES = (
    "harassment", "harassment/threatening", "hate", "hate/threatening", "illicit", "illicit/violent", "self-harm", "self-harm/instructions",
    "self-harm/intent", "sexual", "sexual/minors", "violence", "violence/graphic",
)  # fmt: skip
OUR_CATEGORIES = ("jailbreak", "injection", "prompt_extraction", "pii", "secret")


class ModerationResult(BaseModel):
    flagged: bool
    categories: dict[str, bool]
    category_scores: dict[str, float]
    category_applied_input_types: dict[str, list[str]]


class ModerationResponse(BaseModel):
    id: str
    model: str
    results: list[ModerationResult]


def response(results: list[ModerationResult]) -> ModerationResponse:
    return ModerationResponse(id=f"modr-{secrets.token_hex(12)}", model=MODEL, results=results)


def result(checked: CheckResponse, scores: dict[str, float], reached: set[str]) -> ModerationResult:
    """`scores` by category, of which `reached` their thresholds. Personal data and credentials are shown and do not flag by themselves.

    The categories of an operator's own checks ("own.NAME") are shown after OpenAI's and ours.
    """
    theirs = [category for category in scores if category.startswith(f"{CATEGORY}.")]
    named = {category.removeprefix("harm."): score for category, score in scores.items()}
    over = {category.removeprefix("harm.") for category in reached}
    for finding in checked.findings:
        name = finding.category.partition(".")[0]
        if name in ("pii", "secret"):
            named[name] = max(named.get(name, 0.0), finding.score)
            over.add(name)
    threat = named.get("violence", 0.0)
    # The finer categories are the joint probability of two coarse ones: no head was trained for them.
    for fine, coarse in (("harassment/threatening", "harassment"), ("hate/threatening", "hate"), ("illicit/violent", "illicit")):
        named[fine] = round(named.get(coarse, 0.0) * threat, 6)
        if coarse in over and "violence" in over:
            over.add(fine)
    shown = {name: round(named.get(name, 0.0), 6) for name in (*HARM_CATEGORIES, *OUR_CATEGORIES, *theirs)}
    types: dict[str, Any] = {name: ["text"] for name in shown}
    return ModerationResult(
        flagged=bool(over - {"pii", "secret"}), categories={name: name in over for name in shown}, category_scores=shown,
        category_applied_input_types=types,
    )  # fmt: skip
