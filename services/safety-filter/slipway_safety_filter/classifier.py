"""The classifier over a whole text: windows, a cheap look at each, the encoder on the most suspicious.

It knows which windows are worth the encoder. It refuses to know policies and thresholds: it gives probabilities with the window that they come from.
"""

import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from slipway_safety_filter import features, views
from slipway_safety_filter.heads import Heads

MAX_ENCODED = 48
"""Of a long text the encoder reads at most so many windows, the most suspicious ones; the cheap look reads all."""
WINDOWS_PER_LOOK = 8
"""Where no rule fired, the encoder reads the most suspicious window, and one more for each so many windows."""
BEFORE_FOCUS, AFTER_FOCUS = 40, 160
"""Characters around a place that a rule pointed at."""
HARM_HEADS = ("harm.harassment", "harm.hate", "harm.illicit", "harm.self-harm", "harm.sexual", "harm.violence")


@dataclass(frozen=True, slots=True)
class Guess:
    """The highest probability of a head over all windows, and the window's place in the text."""

    head: str
    score: float
    start: int
    end: int


class Classifier:
    """Heads on MiniLM. The encoder is loaded at the start; calls from several threads take turns at it."""

    def __init__(self, heads: Heads, cache: Path) -> None:
        self._heads = heads
        self._encoder = features.Encoder(cache, heads.taps)
        self._turn = threading.Lock()

    def guess(self, text: str, wanted: Collection[str], *, sure: bool = False, focus: Sequence[tuple[int, int]] = ()) -> list[Guess]:
        """The probability of each wanted head. `sure`: the encoder reads every window up to MAX_ENCODED.

        `focus`: places that something else pointed at; each is read closely, as a window of its own, so that no padding around it dilutes it.
        """
        heads = self._heads
        columns = np.asarray([i for i, name in enumerate(heads.names) if name in wanted], dtype=np.int64)
        if not len(columns):
            return []
        spots = features.window_spots(text)
        close = [(max(0, a - BEFORE_FOCUS), min(len(text), b + AFTER_FOCUS)) for a, b in focus]
        close = [spot for spot in dict.fromkeys(close) if spot not in spots]
        spots += close
        cheap = np.stack([heads.sparse(features.hashed(features.words(text[a:b]))) for a, b in spots])
        suspicion = cheap[:, columns].max(axis=1)
        count = min(len(spots), MAX_ENCODED if sure else 1 + len(spots) // WINDOWS_PER_LOOK)
        suspicion[len(spots) - len(close) :] = np.inf
        chosen = np.argsort(-suspicion, kind="stable")[: max(count, len(close))]
        scores = np.zeros((len(spots), len(heads.names)), dtype=np.float32)
        with self._turn:
            pooled = self._encoder.encode([_plain(text[slice(*spots[i])]) for i in chosen.tolist()])
        scores[chosen] = heads.probability(heads.dense(pooled), cheap[chosen])
        return [_best(heads.names[c], scores[:, c], spots) for c in columns]


def _plain(text: str) -> str:
    view = views.folded(text)
    return view.text if view else text


def _best(head: str, scores: features.Vectors, spots: Sequence[tuple[int, int]]) -> Guess:
    top = int(scores.argmax())
    return Guess(head, round(float(scores[top]), 4), *spots[top])
