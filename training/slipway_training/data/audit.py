"""`data audit`: what is really in a folder of packed rows, measured on the rows and joined with what was counted on the way there.

It knows rows, the tokenizer that made them, and counts.json. It refuses to know how the report looks: `pages` renders it.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slipway_training.data.packed import Packed, open_packed
from slipway_training.data.prepare import COUNTS
from slipway_training.data.slices import Slices
from slipway_training.errors import DataMissing
from slipway_training.vocab.lock import load_frozen

RARE_BELOW = 100
READ_ROWS = 512
DECODED_ROWS = 20_000
"""Rows whose text is read for the slices, spread evenly; token counts are over all rows."""


@dataclass(slots=True)
class Domain:
    """One domain of the rows. `rare` are tokens of the text that occur fewer than RARE_BELOW times in all rows together."""

    tokens: int = 0
    rows: int = 0
    rare: int = 0
    vocabulary_used: int = 0
    slices: Slices = field(default_factory=Slices)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        rate = round(self.rare / max(1, self.tokens), 6)
        return {
            "rows": self.rows, "tokens": self.tokens, "rare_token_rate": rate, "vocabulary_used": self.vocabulary_used, "slices": self.slices.as_dict()
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Audit:
    """Everything the report shows. `counts` is counts.json of `data prepare`."""

    packed: Packed
    domains: dict[str, Domain]
    distinct_rows: int
    rare_below: int
    tokens_rare: int
    tokens_never: int
    decoded_rows: int
    counts: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """For audit.json."""
        index = self.packed.index
        return {
            "digest": self.packed.digest, "rows": len(self.packed), "context": index.context, "tokens": len(self.packed) * index.context,
            "vocab_size": index.vocab_size, "tokenizer_sha256": index.tokenizer_sha256, "rows_by_stage": list(index.rows_by_stage),
            "distinct_rows": self.distinct_rows, "rare_below": self.rare_below, "tokens_rare": self.tokens_rare, "tokens_never_seen": self.tokens_never,
            "decoded_rows": self.decoded_rows, "sources": [p.model_dump() for p in self.packed.provenance],
            "domains": {n: d.as_dict() for n, d in sorted(self.domains.items())}, "counts": self.counts,
        }  # fmt: skip


def audit(folder: Path, tokenizer_at: Path, advance: Callable[[int], None], rare_below: int = RARE_BELOW) -> Audit:
    """Audit the rows of `folder`, every file verified; raises DataMissing when it is not whole, ConfigError for another tokenizer than theirs."""
    packed = open_packed(folder, verify=True)
    tokenizer, _ = load_frozen(tokenizer_at, expected=packed.tokenizer_sha256)
    counts_file = folder / COUNTS
    if not counts_file.is_file():
        raise DataMissing(f"{folder} holds no {COUNTS}: rows that `data prepare` did not make cannot be audited")
    names = [p.origin.domain or p.source for p in packed.provenance]
    by_source = packed.row_sources()
    used = {name: np.zeros(packed.vocab_size, np.int64) for name in names}
    domains = {name: Domain() for name in names}
    step = max(1, len(packed) // DECODED_ROWS)
    seen: set[bytes] = set()
    decoded = 0
    for first in range(0, len(packed), READ_ROWS):
        numbers = np.arange(first, min(len(packed), first + READ_ROWS))
        rows = packed.rows(numbers)[:, :-1]
        seen.update(r.tobytes() for r in rows)
        for source in np.unique(by_source[numbers]):
            mine = by_source[numbers] == source
            used[names[source]] += np.bincount(rows[mine].reshape(-1), minlength=packed.vocab_size)
            domains[names[source]].rows += int(mine.sum())
            some = rows[mine & (numbers % step == 0)]
            decoded += len(some)
            for text in tokenizer.decode_batch(some.tolist(), skip_special_tokens=True):
                domains[names[source]].slices.add(text)
        advance(len(numbers))
    rare, never = _rare(used, rare_below)
    _fill(domains, used, rare)
    return Audit(
        packed, domains, len(seen), rare_below, int(rare.sum()), never, decoded, json.loads(counts_file.read_text(encoding="utf-8"))
    )  # fmt: skip


def _rare(used: dict[str, NDArray[np.int64]], below: int) -> tuple[NDArray[np.bool_], int]:
    total = np.sum(list(used.values()), axis=0) if used else np.zeros(0, np.int64)
    return (total > 0) & (total < below), int((total == 0).sum())


def _fill(domains: dict[str, Domain], used: dict[str, NDArray[np.int64]], rare: NDArray[np.bool_]) -> None:
    for name, domain in domains.items():
        domain.tokens = int(used[name].sum())
        domain.rare = int(used[name][rare].sum())
        domain.vocabulary_used = int((used[name] > 0).sum())
