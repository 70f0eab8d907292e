"""OpenAI's moderation shape over our findings.

It knows the request and answer of `POST /v1/moderations`, and that operators may add categories to it. It refuses to know detectors.
"""

import secrets
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field
from slipway_shared.contracts import CheckResponse
from slipway_shared.dialect.chat import Wire

from slipway_safety_filter.own import CATEGORY

MODEL = "slipway-safety"
HARM_CATEGORIES = (
    "harassment", "harassment/threatening", "hate", "hate/threatening", "illicit", "illicit/violent", "self-harm", "self-harm/instructions",
    "self-harm/intent", "sexual", "sexual/minors", "violence", "violence/graphic",
)  # fmt: skip
OUR_CATEGORIES = ("jailbreak", "injection", "prompt_extraction", "pii", "secret")
MAX_INPUTS = 64


class TextInput(Wire):
    type: Literal["text"]
    text: Annotated[str, Field(max_length=1 << 20)]


class ModerationRequest(Wire):
    """Text, several texts, or text parts; images are refused by name."""

    input: (
        Annotated[str, Field(max_length=1 << 20)]
        | Annotated[list[Annotated[str, Field(max_length=1 << 20)]], Field(min_length=1, max_length=MAX_INPUTS)]
        | Annotated[list[TextInput], Field(min_length=1, max_length=MAX_INPUTS)]
    )
    model: Annotated[str, Field(max_length=128)] | None = None

    def texts(self) -> list[str]:
        """One text per result that the caller expects: several text parts are one input."""
        if isinstance(self.input, str):
            return [self.input]
        if isinstance(self.input[0], TextInput):
            return ["\n".join(part.text for part in self.input if isinstance(part, TextInput))]
        return [text for text in self.input if isinstance(text, str)]


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
