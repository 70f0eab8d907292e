"""The filters that an answer must pass, one after another; the first that refuses gives the reason.

It knows one answer at a time, and the answers kept so far. It refuses to know the teacher, and to repair anything: what is not right is dropped.
"""

import re

from slipway_training.data.clean import language_share
from slipway_training.data.decontaminate import Decontaminator
from slipway_training.data.dedup import Deduplicator
from slipway_training.data.document import Document, Tally
from slipway_training.data.pii import scrub
from slipway_training.data.synth.answers import right
from slipway_training.data.synth.config import Filters, Safety
from slipway_training.data.synth.teacher import Reply

LANGUAGE_SHARE = 0.5


class Gates:
    """All gates of one run. Copies are told by the whole row: a short answer may well be right for two questions."""

    def __init__(self, filters: Filters, safety: Safety) -> None:
        """Reads the evaluations that rows are compared with; raises DataMissing when one is not there."""
        self._filters = filters
        self._safety = safety
        self._must = re.compile(filters.must_match) if filters.must_match else None
        self._must_not = [re.compile(p) for p in filters.must_not_match]
        self._denied = [re.compile(rf"(?i)(?<!\w){re.escape(word)}(?!\w)") for word in safety.denylist]
        self._copies = Deduplicator(filters.dedup)
        self._evals = Decontaminator.of(filters.decontaminate)

    def refuse(self, prompt: str, reply: Reply, expected: str) -> str | None:
        """The reason why the answer is not taken, or None. Copies are looked for last, by `admit`."""
        text, filters = reply.text, self._filters
        words = len(text.split())
        reasons = (
            ("unfinished", filters.finish and reply.finish != "stop"),
            ("characters", not filters.characters[0] <= len(text) <= filters.characters[1]),
            ("words", not filters.words[0] <= words <= filters.words[1]),
            ("must_match", self._must is not None and self._must.search(text) is None),
            ("must_not_match", any(p.search(text) for p in self._must_not)),
            ("denylist", any(p.search(text) for p in self._denied)),
            ("pii", self._safety.refuse_pii and bool(scrub(text)[1])),
        )
        for reason, refused in reasons:
            if refused:
                return reason
        if filters.languages and language_share(text[:800], filters.languages) < LANGUAGE_SHARE:
            return "language"
        if not right(filters.answer, text, expected):
            return "wrong_answer"
        return self._one(self._evals, f"{prompt}\n{text}")

    def admit(self, prompt: str, text: str) -> str | None:
        """Take the row unless it is a copy of one taken before; the reason if it is."""
        return self._one(self._copies, f"{prompt}\n{text}")

    def _one(self, gate: Deduplicator | Decontaminator, text: str) -> str | None:
        tally = Tally()
        if list(gate.keep([Document(text, "synth")], tally)):
            return None
        return next(iter(tally.dropped))
