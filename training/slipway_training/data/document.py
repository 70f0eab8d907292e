"""One document on its way from a source to packed rows, and the counts of what was passed over.

It knows text and where it came from. It refuses to know files and tokens.
"""

from collections import Counter
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Document:
    """Text of one source. `number` counts the source's documents from 0 as they were read, so that a row can be traced back."""

    text: str
    source: str
    number: int = 0


@dataclass(slots=True)
class Tally:
    """Why documents were dropped or changed, by reason; `kept` and `read` count documents, the character counts say how much text they hold."""

    read: int = 0
    kept: int = 0
    characters_read: int = 0
    characters_kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter[str])
    changed: Counter[str] = field(default_factory=Counter[str])

    def as_dict(self) -> dict[str, int | dict[str, int]]:
        """For JSON; reasons in alphabetical order, so that equal tallies are equal text."""
        return {
            "read": self.read, "kept": self.kept, "characters_read": self.characters_read, "characters_kept": self.characters_kept,
            "dropped": dict(sorted(self.dropped.items())), "changed": dict(sorted(self.changed.items())),
        }  # fmt: skip
