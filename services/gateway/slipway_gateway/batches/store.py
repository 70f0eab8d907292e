"""Where batches and the results of their lines are kept until they are over: one Protocol, told by what a crash may not break.

A batch has at most one owner, for as long as its lease runs; a result is kept once per line, whoever brings it. It refuses to know what a line is.
"""

from collections.abc import AsyncIterator
from typing import Protocol

from slipway_shared import errors

from slipway_gateway.batches.record import Batch

KEPT_SECONDS = 30 * 24 * 3600
"""How long a batch that is over can still be asked for."""
MAX_LIVE = 100
"""Batches of one tenant that wait or run at once."""


class BatchStore(Protocol):
    """Raises Overloaded while it cannot be reached."""

    async def add(self, batch: Batch) -> None:
        """Keeps a new batch; raises RateLimited when its tenant has MAX_LIVE already."""
        ...

    async def get(self, tenant: str, batch_id: str) -> Batch | None:
        """The batch, when it is this tenant's."""
        ...

    async def listed(self, tenant: str, after: str | None, limit: int) -> list[Batch]:
        """The tenant's batches behind `after`, newest first."""
        ...

    async def cancel(self, tenant: str, batch_id: str, now: int) -> Batch | None:
        """Asks for its end, unless it is over."""
        ...

    async def claim(self, owner: str, seconds: float) -> Batch | None:
        """The oldest batch that is not over and that nobody owns; `owner` has it for `seconds`."""
        ...

    async def renew(self, batch: Batch, owner: str, seconds: float) -> Batch | None:
        """Owns it for `seconds` more; None when another has it."""
        ...

    async def release(self, batch: Batch, owner: str, seconds: float) -> None:
        """Gives it back; nobody takes it before `seconds` have passed."""
        ...

    async def save(self, batch: Batch, owner: str) -> bool:
        """Keeps its new state; False when another owns it. The results of a batch that is over are dropped."""
        ...

    async def put(self, batch: Batch, line: int, result: bytes, *, good: bool) -> bool:
        """Keeps the result of a line; False when there is one already or the batch is over."""
        ...

    async def done(self, batch: Batch) -> set[int]:
        """The lines that have a result."""
        ...

    def results(self, batch: Batch, *, good: bool) -> AsyncIterator[bytes]:
        """The results of one kind, in the order of the lines."""
        ...

    async def aclose(self) -> None:
        """Closes it."""
        ...


def too_many() -> errors.RateLimited:
    """The tenant has enough batches."""
    return errors.RateLimited(f"A tenant has at most {MAX_LIVE} batches at once; wait for one to end.", code="batches_limit")


def away() -> errors.Overloaded:
    """The store does not answer."""
    return errors.Overloaded("Batches cannot be read or kept now; try again.", code="store_unavailable")
