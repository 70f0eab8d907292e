"""Who holds which KV cells: exact counts under sharing, so that admission can promise every running sequence its worst case.

A cell is freed when the last holder lets go. Cells here are numbers of our own; the library places them as it likes. It refuses to know the library.
"""

import numpy as np
from numpy.typing import NDArray

Cells = NDArray[np.int32]


class Ledger:
    """Reference counts over `total` cells."""

    def __init__(self, total: int) -> None:
        self.total = total
        self._holders = np.zeros(total, dtype=np.int32)
        self._free = list(range(total - 1, -1, -1))

    @property
    def free(self) -> int:
        """Cells that nobody holds."""
        return len(self._free)

    def take(self, count: int) -> Cells:
        """`count` fresh cells, held once; the caller made sure that they are there."""
        if count > len(self._free):
            raise AssertionError(f"{count} cells were promised, {len(self._free)} are free")
        cells = np.asarray([self._free.pop() for _ in range(count)], dtype=np.int32)
        self._holders[cells] = 1
        return cells

    def hold(self, cells: Cells) -> None:
        """One more holder for each of `cells`."""
        self._holders[cells] += 1

    def release(self, cells: Cells) -> None:
        """One holder less for each; cells without a holder become free."""
        self._holders[cells] -= 1
        self._free.extend(cells[self._holders[cells] == 0].tolist())

    def freed_by(self, cells: Cells) -> int:
        """How many cells would become free if one holder of each of `cells` let go."""
        return int((self._holders[cells] == 1).sum())
