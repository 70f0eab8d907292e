"""What an index of vectors is. It refuses to know text, tenants and where vectors are kept: it can always be built again from them."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]
"""Passage numbers, the database's keys."""
Scores = NDArray[np.float32]


class Index(Protocol):
    """Nearest vectors by inner product. Calls come one at a time."""

    @property
    def kind(self) -> str:
        """For reports: how it searches."""
        ...

    def __len__(self) -> int: ...

    def add(self, numbers: Numbers, vectors: NDArray[np.float32]) -> None:
        """Take in vectors [n, dimensions] under numbers that are not in yet."""
        ...

    def remove(self, numbers: Numbers) -> None:
        """Drop what is stored under `numbers`."""
        ...

    def retain(self, numbers: Numbers) -> None:
        """Drop what is stored under any other number: called once, before an index that may outlive the process is filled."""
        ...

    def search(self, vector: NDArray[np.float32], k: int, allowed: Numbers | None = None) -> tuple[Numbers, Scores]:
        """The `k` best, best first; only among `allowed`, where given. Fewer when there are fewer."""
        ...
