"""What a training row is: passages, questions that one of them answers, and how the answer is written.

It knows the reader's answer form (a quotation, then the number of its passage) and takes the prompt form from `slipway_shared.grounding`.
It refuses to know tokens, files and where passages come from.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from slipway_shared.grounding import NOT_IN_SOURCES, fence


@dataclass(frozen=True, slots=True)
class Ask:
    """One question and the words of its passage that answer it."""

    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class Passage:
    """One passage as a retriever would return it, with the questions that it (and only it, within its page) answers."""

    text: str
    asks: tuple[Ask, ...] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """Passages that belong together: the pool from which hard distractors are drawn. `source` names its provenance."""

    source: str
    passages: tuple[Passage, ...]


@dataclass(frozen=True, slots=True)
class Turn:
    """One question over a bundle. `number` is the 1-based passage that answers it; 0 when none does. `reply` is what the model must write."""

    question: str
    reply: str
    number: int


@dataclass(frozen=True, slots=True)
class Bundle:
    """Passages in the order in which they are shown, and independent questions over them."""

    source: str
    passages: tuple[str, ...]
    turns: tuple[Turn, ...]


def quoted(passage: str, answer: str, number: int) -> str | None:
    """The reply that quotes `answer` out of `passage`: ` 8443 [2]`; None when the words do not stand there as whole words.

    The blank before the first word is kept, because a byte-level BPE writes ` Paris` and `Paris` as different tokens: with it, answering is
    copying token by token, which is what a model this small can learn.
    """
    text, answer = fence(passage), fence(answer)
    start = find_words(text, answer)
    if start < 0 or not answer:
        return None
    lead = " " if start == 0 or text[start - 1] == " " else ""
    return f"{lead}{answer} [{number}]"


def abstained() -> str:
    """The reply to a question that the passages do not answer."""
    return NOT_IN_SOURCES


def find_words(text: str, words: str) -> int:
    """The first offset at which `words` stand in `text` without cutting a word in two, or -1."""
    start = text.find(words)
    while start >= 0:
        end = start + len(words)
        if not _glued(text, start) and not _glued(text, end):
            return start
        start = text.find(words, start + 1)
    return -1


def _glued(text: str, at: int) -> bool:
    return 0 < at < len(text) and text[at - 1].isalnum() and text[at].isalnum()


def usable(passages: Sequence[Passage]) -> tuple[Passage, ...]:
    """`passages` without the questions whose answer does not stand in the text."""
    return tuple(Passage(p.text, tuple(a for a in p.asks if quoted(p.text, a.answer, 1) is not None)) for p in passages)
