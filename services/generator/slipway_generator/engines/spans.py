"""From a question and passages to the best span: windows, one run of the graph, and the decision whether anything answers.

It knows the graph's inputs and outputs (per pair `start`, `end`, `score`, `none`; the search for the best span is inside the graph) and WordPiece offsets.
It refuses to know prompts, tokens of the service, and how the graph was trained.
"""

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from slipway_shared.grounding import whole_words

MAX_WINDOWS = 64
"""Windows that are read for one request; later ones are left out (about 12,000 words)."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What goes with the weights. `threshold`: nats by which a span must be likelier than "not held". The others are word pieces."""

    threshold: float
    max_tokens: int
    question_tokens: int
    stride: int


@dataclass(frozen=True, slots=True)
class Found:
    """The best span of all passages: its words, the place of its passage, and the log-probabilities that it answers and that nothing does."""

    text: str
    passage: int
    held: bool
    log_held: float
    log_none: float


class SpanFinder:
    """One session and its tokenizer, usable from several threads."""

    def __init__(self, session: Any, tokenizer: Any, decision: Decision) -> None:
        self._session = session
        self._tokenizer = tokenizer
        self._decision = decision
        self._lock = threading.Lock()  # the tokenizer's truncation is a state of its own

    def find(self, question: str, passages: Sequence[str]) -> Found | None:
        """The best span, whether it is held or not; None where there is nothing to read."""
        windows = self._windows(question, passages)
        if not windows:
            return None
        start, end, score, none = self._session.run(["start", "end", "score", "none"], _feeds([pair for _, pair in windows]))
        best = int(np.argmax(score))
        passage, pair = windows[best]
        text = passages[passage]
        first, last = whole_words(text, pair.offsets[int(start[best])][0], pair.offsets[int(end[best])][1])
        margin = float(score[best]) - _log_sum(none)
        log_none = -float(np.logaddexp(0.0, margin))
        return Found(text[first:last], passage, first < last and margin >= self._decision.threshold, log_none + margin, log_none)

    def _windows(self, question: str, passages: Sequence[str]) -> list[tuple[int, Any]]:
        """(place of the passage, encoded pair): a long passage in overlapping windows, a long question cut."""
        decision, out = self._decision, list[tuple[int, Any]]()
        with self._lock:
            self._tokenizer.no_truncation()
            words = self._tokenizer.encode(question, add_special_tokens=False)
            if len(words.ids) > decision.question_tokens:
                question = question[: words.offsets[decision.question_tokens - 1][1]]
            self._tokenizer.enable_truncation(decision.max_tokens, stride=decision.stride, strategy="only_second")
            for place, passage in enumerate(passages):
                if passage.strip() and len(out) < MAX_WINDOWS:
                    pair = self._tokenizer.encode(question, passage)
                    out += [(place, window) for window in (pair, *pair.overflowing)]
        return out[:MAX_WINDOWS]


def _feeds(pairs: Sequence[Any]) -> dict[str, NDArray[np.int64]]:
    width = max(len(pair.ids) for pair in pairs)
    ids, mask, types = (np.zeros((len(pairs), width), dtype=np.int64) for _ in range(3))
    for row, pair in enumerate(pairs):
        size = len(pair.ids)
        ids[row, :size], mask[row, :size], types[row, :size] = pair.ids, 1, pair.type_ids
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}


def _log_sum(values: NDArray[np.float32]) -> float:
    top = float(values.max())
    return top + math.log(float(np.exp(values - top).sum()))
