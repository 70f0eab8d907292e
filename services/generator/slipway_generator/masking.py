"""What constrains a sequence's next token. The contract only; the grammar engine stands behind it. It refuses to know schemas and engines."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Mask(Protocol):
    """The state of one constrained sequence. Every verb raises UpstreamFailed when the grammar engine fails: constraints never fail open."""

    def allowed(self) -> NDArray[np.bool_]:
        """Which tokens may come next, over the whole vocabulary; at least one may."""
        ...

    def accept(self, token: int) -> None:
        """`token` was generated."""
        ...

    def forced(self) -> list[int]:
        """The tokens that must come next, whatever the model thinks; often none."""
        ...

    def complete(self) -> bool:
        """Whether the output so far is a whole sentence of the language."""
        ...

    def closed(self) -> bool:
        """Whether it is whole and nothing but the end may follow."""
        ...
