"""One batch on its way through its states: validated line by line, each line asked once, its results made into files.

    validating -> in_progress -> finalizing -> completed | expired | cancelled          validating -> failed: the input is no batch

Every step can be done again: a process that takes a batch over reads what is kept and goes on there. It refuses to know leases and who else runs.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

import orjson
from slipway_shared import errors
from slipway_shared.context import RequestContext
from slipway_shared.metrics import Metrics

from slipway_gateway.batches import lines as batch_lines
from slipway_gateway.batches.files import BatchFiles
from slipway_gateway.batches.inside import Answer
from slipway_gateway.batches.lines import Bounds, Line
from slipway_gateway.batches.record import Batch, Problem, Status
from slipway_gateway.batches.store import BatchStore

ATTEMPTS = 4
"""How often a line is asked whose answer is a fault of ours. One that is refused for load is asked until the batch expires."""
MAX_OUTPUT_BYTES = 30 << 20
"""Results of one batch: what one file may hold, with room for the lines that are under way when it is reached."""
_LONGEST_WAIT_SECONDS = 60.0
_STOPGAPS = frozenset({"generator_down", "generator_overloaded", "retriever_down"})
_ENDINGS = {
    "expired": ("batch_expired", "The batch expired before this request was run."),
    "cancelled": ("batch_cancelled", "The batch was cancelled before this request was run."),
    "failed": ("batch_failed", "The batch failed before this request was run."),
}


class Lost(Exception):
    """Another process owns the batch now."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What every batch is run with. `ask` answers a line's body at a URL on behalf of a key's digest; None: the key is no longer valid.
    `turn` is entered for each line: it bounds how many run at once and lets callers go first."""

    store: BatchStore
    files: BatchFiles
    bounds: Bounds
    concurrency: int
    ask: Callable[[str, str, bytes, str], Awaitable[Answer | None]]
    turn: Callable[[], AbstractAsyncContextManager[None]]
    metrics: Metrics


class Work:
    """Runs `batch` to its end for `owner`. Raises Lost, and whatever a part that is away raises: then it can be run again later."""

    def __init__(self, batch: Batch, owner: str, tools: Tools) -> None:
        self.batch = batch
        self._owner = owner
        self._tools = tools
        self._store = tools.store
        self._context = RequestContext(
            batch.id, secrets.token_hex(16), secrets.token_hex(8), time.monotonic(), sampled=False, tenant=batch.tenant
        )
        self._size = batch.size
        self._ending: Status | None = batch.ending
        self._stopping = asyncio.Event()

    def seen(self, batch: Batch) -> None:
        """The store's newest word about the batch: whether it shall be cancelled, or has expired."""
        if batch.cancelling_at is not None:
            self._stop("cancelled")
        elif time.time() >= batch.expires_at:
            self._stop("expired")

    async def run(self) -> None:
        """From the state it is in to its end."""
        self.seen(self.batch)
        if self.batch.status == "finalizing" or self._ending == "cancelled":
            await self._finish((), [])
            return
        lines, problems = await self._read()
        if problems:
            await self._fail(problems)
            return
        if self.batch.status == "validating":
            await self._save(self.batch.at("in_progress", _now(), total=len(lines)))
        left = await self._ask_all(lines)
        await self._finish(left, lines)

    async def _read(self) -> tuple[list[Line], list[Problem]]:
        try:
            raw = await self._tools.files.read(self.batch.input_file_id, self._context)
        except errors.NotFound:
            return [], [Problem(code="file_not_found", message="The input file is gone.", param="input_file_id")]
        return await asyncio.to_thread(batch_lines.read, raw, self.batch.endpoint, self._tools.bounds)

    def _stop(self, ending: Status) -> None:
        if self._ending is None:
            self._ending = ending
        self._stopping.set()

    async def _ask_all(self, lines: list[Line]) -> list[int]:
        """Asks every line that has no result; the numbers of those that still have none."""
        done = await self._store.done(self.batch)
        waiting = [number for number in range(len(lines)) if number not in done]
        todo = iter(waiting)

        async def worker() -> None:
            for number in todo:
                if self._stopping.is_set():
                    return
                await self._ask(number, lines[number])

        stopping = asyncio.create_task(self._stopping.wait())
        workers: list[asyncio.Task[Any]] = [asyncio.create_task(worker()) for _ in range(min(self._tools.concurrency, len(waiting)))]
        try:
            pending: set[asyncio.Task[Any]] = set(workers)
            while pending and not stopping.done():
                ended, _ = await asyncio.wait({*pending, stopping}, return_when=asyncio.FIRST_COMPLETED)
                pending -= ended
                for task in ended - {stopping}:
                    task.result()
        finally:
            for task in (*workers, stopping):
                task.cancel()
            await asyncio.gather(*workers, stopping, return_exceptions=True)
        if self._ending is None:
            return []
        done = await self._store.done(self.batch)
        return [number for number in waiting if number not in done]

    async def _ask(self, number: int, line: Line) -> None:
        body = batch_lines.body_of(line)
        attempt = 0
        while True:
            attempt += 1
            request_id = f"{self.batch.id}_{number + 1}"
            async with self._tools.turn():
                answer = await self._tools.ask(self.batch.key, line.url, body, request_id)
            if answer is None:
                self._problem(Problem(code="invalid_api_key", message="The key that made the batch is no longer valid."))
                return
            document = orjson.loads(answer.body)
            wait = _wait(answer, document, attempt)
            if wait is None:
                break
            await asyncio.sleep(wait)
        await self._keep(number, batch_lines.answered(line, answer.status, request_id, document), good=answer.status < 400)

    async def _keep(self, number: int, result: bytes, *, good: bool) -> None:
        if await self._store.put(self.batch, number, result, good=good):
            self._tools.metrics.counter("slipway_batch_lines", result="completed" if good else "failed").inc()
            self._size += len(result)
        if self._size > MAX_OUTPUT_BYTES:
            self._problem(
                Problem(code="output_too_large", message=f"The results have more than {MAX_OUTPUT_BYTES} bytes; make several batches.")
            )

    def _problem(self, problem: Problem) -> None:
        self.batch = self.batch.model_copy(update={"problems": (*self.batch.problems, problem)})
        self._stop("failed")

    async def _fail(self, problems: list[Problem]) -> None:
        """The input is no batch: nothing is asked, and every bad line stands in the error file. What was answered before the input was lost is kept."""

        async def told() -> AsyncIterator[bytes]:
            for problem in problems:
                yield batch_lines.unanswered(None, problem.code, problem.message, problem.line)
            async for result in self._store.results(self.batch, good=False):
                yield result

        name = f"{self.batch.id}_error.jsonl"
        files = self._tools.files
        output = await files.write(f"{self.batch.id}_output.jsonl", self._store.results(self.batch, good=True), self._context)
        error_file = await files.write(name, told(), self._context)
        ended = self.batch.at("failed", _now(), problems=tuple(problems), output_file_id=output, error_file_id=error_file)
        await self._end(ended)

    async def _finish(self, left: Sequence[int], lines: list[Line]) -> None:
        """Makes the results into files. Lines that were not run are told why, before the state is left in which they are known."""
        ending: Status = self._ending or "completed"
        for number in left:
            code, message = _ENDINGS[ending]
            if ending != "cancelled":
                await self._store.put(self.batch, number, batch_lines.unanswered(lines[number].custom_id, code, message), good=False)
        if self.batch.status != "finalizing":
            await self._save(self.batch.at("finalizing", _now(), ending=ending))
        batch = self.batch
        output = await self._tools.files.write(f"{batch.id}_output.jsonl", self._store.results(batch, good=True), self._context)
        errors_of = await self._tools.files.write(f"{batch.id}_error.jsonl", self._store.results(batch, good=False), self._context)
        await self._end(batch.at(batch.ending or ending, _now(), output_file_id=output, error_file_id=errors_of))

    async def _end(self, batch: Batch) -> None:
        await self._save(batch)
        self._tools.metrics.counter("slipway_batches", outcome=batch.status).inc()

    async def _save(self, batch: Batch) -> None:
        if not await self._store.save(batch, self._owner):
            raise Lost
        self.batch = batch


def _wait(answer: Answer, document: Any, attempt: int) -> float | None:
    """How many seconds later to ask again; None: this answer counts. Refusals for load are waited out, and so is an answer that only
    stands in for a part that was away; a used-up budget is an answer."""
    error: dict[str, Any] = (document.get("error") or {}) if answer.status >= 400 else {}
    if answer.status in (429, 503) and error.get("code") != "budget_limit":
        return min(answer.retry_after_seconds or 1.0, _LONGEST_WAIT_SECONDS)
    faulty = answer.status >= 500 or (answer.status < 400 and _stopgap(document))
    return min(2.0 ** (attempt - 1), _LONGEST_WAIT_SECONDS) if faulty and attempt < ATTEMPTS else None


def _stopgap(document: dict[str, Any]) -> bool:
    choices: list[dict[str, Any]] = document.get("choices") or []
    notes: list[dict[str, Any]] = [note for choice in choices for note in (choice.get("message") or {}).get("annotations") or []]
    return any(note.get("reason") in _STOPGAPS for note in notes)


def _now() -> int:
    return int(time.time())
