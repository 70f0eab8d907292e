"""`Idempotency-Key`: the same call made twice is answered once, and its answer is given again.

It knows keys, fingerprints of bodies, and answers, per tenant and route. It refuses streams: what was shown as it came cannot be shown again.
"""

import asyncio
import hashlib
import re
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from slipway_shared import errors

MAX_KEPT = 1000
MAX_BYTES = 1 << 20
_KEY = re.compile(r"^[\x21-\x7e]{1,255}$")


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer that can be given again."""

    body: bytes
    headers: dict[str, str]


@dataclass(slots=True)
class _Entry:
    fingerprint: bytes
    answer: asyncio.Future[Kept]
    at: float


class Idempotency:
    """Answers kept in this process for `seconds`. Calls that overlap wait for the first; a call that failed may be made again."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._entries: OrderedDict[tuple[str, str, str], _Entry] = OrderedDict()

    async def once(self, tenant: str, route: str, key: str, body: bytes, work: Callable[[], Awaitable[Kept]]) -> tuple[Kept, bool]:
        """The answer, and whether it was given before. Raises BadRequest for a malformed key, Conflict for a key that was used for another body."""
        if not _KEY.match(key):
            raise errors.BadRequest("Idempotency-Key is 1 to 255 printable characters.", code="invalid_idempotency_key")
        name, fingerprint = (tenant, route, key), hashlib.sha256(body).digest()
        while (entry := self._fresh(name)) is not None:
            if entry.fingerprint != fingerprint:
                raise errors.Conflict("This Idempotency-Key was used for another request.", code="idempotency_key_reused")
            await asyncio.wait({entry.answer})
            if not entry.answer.cancelled():
                return entry.answer.result(), True
        return await self._first(name, fingerprint, work), False

    async def _first(self, name: tuple[str, str, str], fingerprint: bytes, work: Callable[[], Awaitable[Kept]]) -> Kept:
        entry = _Entry(fingerprint, asyncio.get_running_loop().create_future(), time.monotonic())
        self._entries[name] = entry
        while len(self._entries) > MAX_KEPT:
            self._entries.popitem(last=False)
        try:
            kept = await work()
        except BaseException:
            # Nobody has an answer: whoever waits becomes the first.
            self._entries.pop(name, None)
            entry.answer.cancel()
            raise
        entry.answer.set_result(kept)
        if len(kept.body) > MAX_BYTES:
            self._entries.pop(name, None)
        return kept

    def _fresh(self, name: tuple[str, str, str]) -> _Entry | None:
        entry = self._entries.get(name)
        if entry is not None and entry.answer.done() and time.monotonic() - entry.at > self._seconds:
            del self._entries[name]
            return None
        return entry
