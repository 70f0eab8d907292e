"""Who waits for an answer now: what batches step aside for. It refuses to know routes and batches."""

import asyncio


class Traffic:
    """Counts the requests that callers wait for."""

    def __init__(self) -> None:
        self.running = 0
        self._quiet: asyncio.Event | None = None

    def begin(self) -> None:
        """One more caller waits."""
        self.running += 1

    def end(self) -> None:
        """One less."""
        self.running -= 1
        if self.running == 0 and self._quiet is not None:
            self._quiet.set()

    async def quiet(self, patience_seconds: float) -> None:
        """Returns as soon as nobody waits, and after `patience_seconds` at the latest: even in a house that is always busy, batches move."""
        if self.running == 0:
            return
        if self._quiet is None or self._quiet.is_set():
            self._quiet = asyncio.Event()
        try:
            async with asyncio.timeout(patience_seconds):
                await self._quiet.wait()
        except TimeoutError:
            return
