"""A pointer flavor as a Reader: the same windows and the same decision as the generator's engine, so that what is measured is what is served.

It knows the files of a pointer flavor. It refuses to know sets, scores and how the weights came to be.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from slipway_shared.encoding.session import open_graph
from slipway_shared.grounding import NOT_IN_SOURCES, fence, whole_words
from tokenizers import Encoding, Tokenizer

from slipway_training.errors import StackMissing


@dataclass(frozen=True, slots=True)
class Pointed:
    """The best span over all passages: `margin` in nats is how much likelier it is than "not held"."""

    text: str
    number: int
    margin: float


class PointerReader:
    """Opens `model.onnx` (or `model.ort`), `tokenizer.json` and `pointer.json` of one folder; the caller has verified them."""

    def __init__(self, folder: Path) -> None:
        try:
            self._session: Any = open_graph(next(path for name in ("model.ort", "model.onnx") if (path := folder / name).is_file()))
        except ImportError as error:
            raise StackMissing("onnxruntime") from error
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        decision = json.loads((folder / "pointer.json").read_text(encoding="utf-8"))
        self._threshold = float(decision["threshold"])
        self._max_tokens, self._question_tokens, self._stride = (int(decision[key]) for key in ("max_tokens", "question_tokens", "stride"))

    def answer(self, passages: Sequence[str], question: str) -> str:
        """The reply, citation included."""
        pointed = self.point(passages, question)
        if pointed is None or pointed.margin < self._threshold:
            return NOT_IN_SOURCES
        return f"{pointed.text} [{pointed.number}]"

    def point(self, passages: Sequence[str], question: str) -> Pointed | None:
        """The best span, however unlikely; None without passages."""
        texts = [fence(passage) for passage in passages]
        pairs = self._pairs(question, texts)
        if not pairs:
            return None
        start, end, score, none = self._session.run(["start", "end", "score", "none"], _feeds([pair for _, pair in pairs]))
        best = int(np.argmax(score))
        number, pair = pairs[best]
        text = texts[number - 1]
        first, last = whole_words(text, pair.offsets[int(start[best])][0], pair.offsets[int(end[best])][1])
        return Pointed(text[first:last], number, float(score[best] - _log_sum(none)))

    def _pairs(self, question: str, texts: Sequence[str]) -> list[tuple[int, Encoding]]:
        self._tokenizer.no_truncation()
        words = self._tokenizer.encode(question, add_special_tokens=False)
        if len(words.ids) > self._question_tokens:
            question = question[: words.offsets[self._question_tokens - 1][1]]
        self._tokenizer.enable_truncation(self._max_tokens, stride=self._stride, strategy="only_second")
        out: list[tuple[int, Encoding]] = []
        for number, text in enumerate(texts, 1):
            if text:
                pair = self._tokenizer.encode(question, text)
                out += [(number, window) for window in (pair, *pair.overflowing)]
        return out


def _feeds(pairs: Sequence[Encoding]) -> dict[str, NDArray[np.int64]]:
    width = max(len(pair.ids) for pair in pairs)
    ids, mask, types = (np.zeros((len(pairs), width), dtype=np.int64) for _ in range(3))
    for row, pair in enumerate(pairs):
        n = len(pair.ids)
        ids[row, :n], mask[row, :n], types[row, :n] = pair.ids, 1, pair.type_ids
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}


def _log_sum(values: NDArray[np.float32]) -> float:
    top = float(values.max())
    return top + float(np.log(np.exp(values - top).sum()))
