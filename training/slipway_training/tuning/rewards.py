"""Rewards by rule: length, form, groundedness and citations, arithmetic that checks, and whether the answer is right.

It knows one answer at a time. Each reward is in [-1, 1]; weights belong to the configuration. It refuses to run anything that an answer holds.
"""

import ast
import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from slipway_shared.grounding import citations, is_abstention, is_grounded, normalise

from slipway_training.data.synth.answers import number
from slipway_training.tuning.config import Heuristics

_CLAIM = re.compile(r"([-+]?[\d.,]+(?:\s*[-+*/x×]\s*[\d.,]+)+)\s*=\s*(?:<<[^>]*>>)?\s*\$?([-+]?[\d.,]*\d)")
_FINAL = re.compile(r"####\s*[-+]?[\d.,]+\s*$")
_OPERATORS: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
}  # fmt: skip
TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True)
class Judged:
    """One answer and its rewards by name; `total` is their weighted sum."""

    text: str
    parts: dict[str, float]
    total: float


def judge(text: str, weights: Heuristics, passages: Sequence[str] = ()) -> Judged:
    """All rewards of `text`. Without passages, groundedness counts nothing."""
    parts = {"length": length(text, weights.words), "form": form(text), "arithmetic": arithmetic(text)}
    if passages:
        parts["grounded"] = grounded(text, passages)
    return Judged(text, parts, sum(getattr(weights, name) * value for name, value in parts.items()))


def length(text: str, words: tuple[int, int]) -> float:
    """0 within `words`; below and above it falls to -1 at none and at twice as many."""
    count, (least, most) = len(text.split()), words
    if count < least:
        return -(least - count) / least
    return -min(1.0, max(0, count - most) / most)


def form(text: str) -> float:
    """1 when the answer ends on `#### number` and says it once, 0 when it has no such line, -1 when it goes on behind it or repeats it."""
    marks = text.count("####")
    if not marks:
        return 0.0
    return 1.0 if marks == 1 and _FINAL.search(text) else -1.0


def grounded(text: str, passages: Sequence[str]) -> float:
    """1 for an answer out of the passages that cites one, 0.5 for a quotation without a citation, 0 for an abstention, -1 for anything that they do not hold."""
    if is_abstention(text):
        return 0.0
    if is_grounded(text, tuple(passages)):
        return 1.0
    said = normalise(text)
    quoted = bool(said) and not citations(text, len(passages)) and any(said in normalise(passage) for passage in passages)
    return 0.5 if quoted else -1.0


def arithmetic(text: str) -> float:
    """The share of equations that hold, from -1 (none) to 1 (all); 0 without an equation."""
    claims = _CLAIM.findall(text)
    if not claims:
        return 0.0
    right = sum(_holds(left, said) for left, said in claims)
    return 2 * right / len(claims) - 1


def right(text: str, gold: str) -> bool:
    """Whether the number that an answer ends on is gold's; an answer without `####` line is not taken, however right its last number may look."""
    wanted = number(gold)
    return _FINAL.search(text) is not None and wanted is not None and number(text) == wanted


def _holds(left: str, said: str) -> bool:
    try:
        value = _value(ast.parse(_plain(left), mode="eval").body)
        wanted = float(_plain(said))
    except (SyntaxError, ValueError, ZeroDivisionError, RecursionError):
        return False
    return abs(value - wanted) <= max(TOLERANCE, 0.005 * abs(value) if "." in said else TOLERANCE)


def _plain(text: str) -> str:
    return re.sub(r"(?<=\d),(?=\d{3})", "", text).replace("x", "*").replace("×", "*").rstrip(".,")


def _value(node: ast.expr) -> float:
    """Numbers and four operators, nothing else; raises ValueError."""
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return float(node.value)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        inner = _value(node.operand)
        return -inner if isinstance(node.op, ast.USub) else inner
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        return _OPERATORS[type(node.op)](_value(node.left), _value(node.right))
    raise ValueError("not arithmetic")
