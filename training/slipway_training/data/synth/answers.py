"""Whether an answer says what is known to be right.

It knows numbers, choices, strings and JSON. It refuses to run anything that an answer holds.
"""

import json
import re
from decimal import Decimal, InvalidOperation

from slipway_training.data.synth.config import AnswerCheck

_NUMBER = re.compile(r"[-+]?\d[\d,]*(?:\.\d+)?(?:\s*/\s*\d+)?|[-+]?\.\d+")
_FINAL = re.compile(r"(?i)(?:####|\\boxed\{|(?:final )?answer(?: is|:)?)[^\d+.\n-]{0,12}([-+]?(?:\d[\d,]*(?:\.\d+)?|\.\d+)(?:\s*/\s*\d+)?)")
_CHOICE = re.compile(r"(?i)\b(?:answer|choice|option)\b(?: is|:)?\s*\(?([A-J])\b\)?")
_BARE_CHOICE = re.compile(r"^\s*\(?([A-Ja-j])\)?(?:[.:)\s]|$)")


def right(check: AnswerCheck, answer: str, expected: str) -> bool:
    """Whether `answer` agrees with `expected` by `check`; "none" agrees with everything."""
    match check:
        case "none":
            return True
        case "number":
            wanted, got = number(expected), number(answer)
            return wanted is not None and wanted == got
        case "choice":
            wanted_letter, letter = choice(expected), choice(answer)
            return wanted_letter is not None and wanted_letter == letter
        case "exact":
            return _folded(answer) == _folded(expected)
        case "contains":
            return bool(_folded(expected)) and _folded(expected) in _folded(answer)
        case "json":
            return _json(answer) == _json(expected) is not None


def number(text: str) -> Decimal | None:
    """The number that a text ends on: after `####`, `\\boxed{` or "answer is", else the last one in it; thousands separators dropped, fractions divided."""
    final = _FINAL.findall(text)
    found = final or _NUMBER.findall(text)
    if not found:
        return None
    over, _, under = found[-1].replace(",", "").partition("/")
    try:
        value = Decimal(over.strip())
        return (value / Decimal(under.strip()) if under else value).normalize()
    except (InvalidOperation, ZeroDivisionError):
        return None


def choice(text: str) -> str | None:
    """The letter that a text chooses: after "answer", "choice" or "option" (the last such), or at its very beginning."""
    said = _CHOICE.findall(text)
    if said:
        return str(said[-1]).upper()
    bare = _BARE_CHOICE.match(text)
    return bare.group(1).upper() if bare else None


def _folded(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))


def _json(text: str) -> object:
    fenced = re.search(r"```(?:json)?\s*(.*?)```", text, re.DOTALL)
    try:
        return json.loads(fenced.group(1) if fenced else text)
    except ValueError:
        return None
