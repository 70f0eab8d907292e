"""The classifier over a whole text: windows, a cheap look at each, the encoder on the most suspicious.

It knows which windows are worth the encoder, and lets checks that come together share its passes.
It refuses to know policies and thresholds: it gives probabilities with the window that they come from.
"""

import threading
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from slipway_safety_filter import features, views
from slipway_safety_filter.heads import Heads

MAX_ENCODED = 48
"""Of a long text the encoder reads at most so many windows, the most suspicious ones; the cheap look reads all."""
FEW_WINDOWS, WINDOWS_PER_LOOK = 8, 4
"""Of a text of few windows (some 256 tokens) the encoder reads the most suspicious one, of a longer text one in so many; and what a rule pointed at."""
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
    """Heads on MiniLM. The encoder is loaded at the start; calls from several threads share it."""

    def __init__(self, heads: Heads, cache: Path) -> None:
        self._heads = heads
        self.slope = heads.slope
        """What one logit of an attack head adds to the logit of its probability."""
        self._encoder = Shared(features.Encoder(cache, heads.taps).encode)

    def guess(self, text: str, wanted: Collection[str], *, thorough: bool = False, focus: Sequence[tuple[int, int]] = ()) -> list[Guess]:
        """The probability of each wanted head. `thorough`: the encoder reads every window up to MAX_ENCODED.

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
        cheap = np.stack([heads.sparse(buckets) for buckets in features.window_buckets(text, spots)])
        suspicion = cheap[:, columns].max(axis=1)
        count = MAX_ENCODED if thorough else len(close) + (1 if len(spots) <= FEW_WINDOWS else len(spots) // WINDOWS_PER_LOOK)
        suspicion[len(spots) - len(close) :] = np.inf
        chosen = np.argsort(-suspicion, kind="stable")[: min(count, MAX_ENCODED, len(spots))]
        scores = np.zeros((len(spots), len(heads.names)), dtype=np.float32)
        pooled = self._encoder.encode([_plain(text[slice(*spots[i])]) for i in chosen.tolist()])
        scores[chosen] = heads.probability(heads.dense(pooled), cheap[chosen])
        return [_best(heads.names[c], scores[:, c], spots) for c in columns]


class Shared:
    """Lets callers that wait for the encoder share its next pass: whoever gets the turn takes everything that came meanwhile along.

    Nobody waits for company: a lone caller is served at once.
    """

    def __init__(self, encode: Callable[[Sequence[str]], features.Vectors]) -> None:
        self._encode = encode
        self._turn = threading.Lock()
        self._waiting: deque[_Job] = deque()

    @property
    def waiting(self) -> int:
        """How many callers the next pass will serve."""
        return len(self._waiting)

    def encode(self, texts: Sequence[str]) -> features.Vectors:
        """[texts, width]; what the encoder raises, every caller of that pass gets."""
        job = _Job(list(texts))
        self._waiting.append(job)
        with self._turn:
            if not job.done:
                self._serve()
        if job.error is not None:
            raise job.error
        return job.result

    def _serve(self) -> None:
        jobs: list[_Job] = []
        while self._waiting:
            jobs.append(self._waiting.popleft())
        try:
            rows = self._encode([text for job in jobs for text in job.texts])
            for job in jobs:
                job.result, rows = rows[: len(job.texts)], rows[len(job.texts) :]
        except Exception as error:  # noqa: BLE001 - handed to every caller of the pass
            for job in jobs:
                job.error = error
        finally:
            for job in jobs:
                job.done = True


@dataclass(slots=True)
class _Job:
    texts: list[str]
    result: features.Vectors = field(default_factory=lambda: np.zeros((0, 0), dtype=np.float32))
    error: Exception | None = None
    done: bool = False


def _plain(text: str) -> str:
    view = views.folded(text)
    return view.text if view else text


def _best(head: str, scores: features.Vectors, spots: Sequence[tuple[int, int]]) -> Guess:
    top = int(scores.argmax())
    return Guess(head, round(float(scores[top]), 4), *spots[top])
