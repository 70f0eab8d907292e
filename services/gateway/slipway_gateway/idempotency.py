"""`Idempotency-Key`: the same call made twice is answered once, and its answer is given again, whichever process of the gateway is asked.

It knows keys, fingerprints of bodies, and answers, per tenant and route. Within a process, callers that overlap wait for the first; between processes,
the first lays a mark on the shelf, and the others look until an answer lies there. It refuses streams: what was shown as it came cannot be shown again.
"""

import asyncio
import base64
import contextlib
import hashlib
import re
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass

import orjson
from slipway_shared import errors

from slipway_gateway.shelf import Shelf

MAX_BYTES = 1 << 20
MARK_SECONDS = 6.0
"""How long after its last sign of life a process that works on an answer is waited for."""
_LOOK_SECONDS = 0.05
_KEY = re.compile(r"^[\x21-\x7e]{1,255}$")
_REUSED = "This Idempotency-Key was used for another request."


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer that can be given again."""

    body: bytes
    headers: dict[str, str]


@dataclass(slots=True)
class _Running:
    fingerprint: str
    answer: asyncio.Future[Kept]


class Idempotency:
    """Answers are kept for `seconds`. A call that failed may be made again. While the shelf is away, each process is on its own."""

    def __init__(self, shelf: Shelf, seconds: float) -> None:
        self._shelf = shelf
        self._seconds = seconds
        self._running: dict[str, _Running] = {}

    async def once(self, tenant: str, route: str, key: str, body: bytes, work: Callable[[], Awaitable[Kept]]) -> tuple[Kept, bool]:
        """The answer, and whether it was given before. Raises BadRequest for a malformed key, Conflict for a key that was used for another body."""
        if not _KEY.match(key):
            raise errors.BadRequest("Idempotency-Key is 1 to 255 printable characters.", code="invalid_idempotency_key")
        name, fingerprint = f"once:{tenant}:{route}:{hashlib.sha256(key.encode()).hexdigest()}", hashlib.sha256(body).hexdigest()
        while (running := self._running.get(name)) is not None:
            if running.fingerprint != fingerprint:
                raise errors.Conflict(_REUSED, code="idempotency_key_reused")
            await asyncio.wait({running.answer})
            if not running.answer.cancelled():
                return running.answer.result(), True
        running = self._running[name] = _Running(fingerprint, asyncio.get_running_loop().create_future())
        try:
            kept, again = await self._first(name, fingerprint, work)
        except BaseException:
            # Nobody has an answer: whoever waits becomes the first.
            running.answer.cancel()
            raise
        finally:
            del self._running[name]
        running.answer.set_result(kept)
        return kept, again

    async def _first(self, name: str, fingerprint: str, work: Callable[[], Awaitable[Kept]]) -> tuple[Kept, bool]:
        """The first of this process: it works, unless another process does or did."""
        mark = orjson.dumps({"fingerprint": fingerprint, "by": secrets.token_hex(8)})
        try:
            while not await self._shelf.add(name, mark, MARK_SECONDS):
                if (kept := _answer(await self._shelf.get(name), fingerprint)) is not None:
                    return kept, True
                await asyncio.sleep(_LOOK_SECONDS)
        except errors.Overloaded:
            return await work(), False
        async with self._marked(name, mark):
            kept = await work()
            if len(kept.body) <= MAX_BYTES:
                told = {"fingerprint": fingerprint, "body": base64.b64encode(kept.body).decode(), "headers": kept.headers}
                with contextlib.suppress(errors.Overloaded):
                    await self._shelf.swap(name, mark, orjson.dumps(told), self._seconds)
            return kept, False

    @contextlib.asynccontextmanager
    async def _marked(self, name: str, mark: bytes) -> AsyncGenerator[None]:
        """Renews the mark while an answer is made; afterwards it is gone, if no answer lies there."""

        async def renew() -> None:
            while True:
                await asyncio.sleep(MARK_SECONDS / 3)
                with contextlib.suppress(errors.Overloaded):
                    await self._shelf.swap(name, mark, mark, MARK_SECONDS)

        renewing = asyncio.create_task(renew())
        try:
            yield
        finally:
            renewing.cancel()
            with contextlib.suppress(errors.Overloaded):
                await asyncio.shield(self._shelf.swap(name, mark, b""))


def _answer(raw: bytes | None, fingerprint: str) -> Kept | None:
    """The answer in `raw`, if it is one; raises Conflict when it belongs to another body."""
    if raw is None:
        return None
    told = orjson.loads(raw)
    if told["fingerprint"] != fingerprint:
        raise errors.Conflict(_REUSED, code="idempotency_key_reused")
    return Kept(base64.b64decode(told["body"]), told["headers"]) if "body" in told else None
