"""Calls to one part of the platform, over the process's one session.

It knows how a call is bounded in time, which headers travel, when a call is tried again or not made at all, and which failure becomes which error.
It refuses to know what the parts do.
"""

import asyncio
import random
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol

from slipway_shared import errors
from slipway_shared.context import RequestContext
from slipway_shared.metrics import Metrics

from slipway_gateway.answer import Answer, Dropped, Late, Silent, TooMuch, Unreachable, WireError
from slipway_gateway.breaker import Breaker, Pass, RetryBudget
from slipway_gateway.dial import Origin, Patience, Session
from slipway_gateway.head import Body

AWAY = (errors.UpstreamFailed, errors.Overloaded, errors.RateLimited, errors.DeadlineExceeded)
"""What a part that cannot serve now looks like: the pipeline may go on without it. Other errors are about the request itself."""

MAX_ANSWER_BYTES = 32 << 20
_ERROR_BYTES = 1 << 16
_JSON = {"content-type": "application/json"}


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long a part may take and how often it may fail; seconds."""

    connect_seconds: float
    idle_seconds: float
    failures: int
    open_seconds: float


class Call(Protocol):
    """One call as a block: inside it stands an answer with a 2xx status whose body has not been read. Leaving the block early closes the connection, which
    cancels the part's work. Entering raises the error that the part answered with, UpstreamFailed, or DeadlineExceeded."""

    async def __aenter__(self) -> Answer: ...

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...


class Upstream:
    """One part by name. `idle_seconds` bounds each silence, the request's deadline bounds the whole call."""

    def __init__(self, name: str, url: str, session: Session, bounds: Bounds, metrics: Metrics) -> None:
        self.name = name
        self._origin = Origin.parse(url)
        self._session = session
        self._bounds = bounds
        self._breaker = Breaker(name, failures=bounds.failures, open_seconds=bounds.open_seconds)
        self._budget = RetryBudget()
        self._open = metrics.gauge("slipway_breaker_open", upstream=name)
        self._shown = False
        self._retries = metrics.counter("slipway_retries", upstream=name)

    @property
    def failing(self) -> bool:
        """Whether a call would be refused now because those before it failed."""
        return self._breaker.refusing

    async def post(self, path: str, body: bytes, context: RequestContext, *, seconds: float | None = None) -> bytes:
        """The body of a 2xx answer; raises as a Call does. It is one, without the block: this is how most calls are made."""
        given = self.enter()
        answer = None
        try:
            answer = await self.send("POST", path, body, context, seconds, _JSON)
            if answer.status >= 300:
                raise await self.refusal(answer)
            if (raw := answer.at_once(MAX_ANSWER_BYTES)) is None:
                raw = await self.read(answer)
        except BaseException as error:
            self.end(given, answer, error, seconds)
            if isinstance(error, WireError):
                raise self.failure(error) from error
            raise
        self.end(given, answer, None, seconds)
        return raw

    async def get(self, path: str, context: RequestContext, *, seconds: float | None = None) -> bytes:
        """As `post`, without a body."""
        async with self.open("GET", path, None, context, seconds=seconds) as answer:
            return await self.read(answer)

    def open(
        self,
        method: str,
        path: str,
        body: Body,
        context: RequestContext,
        *,
        seconds: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Call:
        """One call; `seconds` bounds it besides the request's deadline."""
        return _Call(self, method, path, body, context, seconds, headers)

    async def read(self, answer: Answer) -> bytes:
        """The whole body, up to MAX_ANSWER_BYTES."""
        try:
            return await answer.read(MAX_ANSWER_BYTES)
        except TooMuch:
            raise errors.UpstreamFailed(f"The {self.name} answered with more than {MAX_ANSWER_BYTES} bytes.") from None

    def failure(self, error: BaseException) -> errors.SlipwayError:
        """A failure on the wire as one of our errors."""
        if isinstance(error, Unreachable):
            return errors.UpstreamFailed(f"The {self.name} cannot be reached.")
        if isinstance(error, Silent):
            return errors.UpstreamFailed(f"The {self.name} fell silent.")
        if isinstance(error, Late):
            return errors.DeadlineExceeded(f"The {self.name} did not answer in time.")
        return errors.UpstreamFailed(f"The connection to the {self.name} broke.")

    # The rest is the call's.

    def enter(self) -> Pass:
        """Leave to call; raises UpstreamFailed while the part is not asked."""
        return self._breaker.enter()

    def end(self, given: Pass, answer: Answer | None, error: BaseException | None, seconds: float | None) -> None:
        """A call is over, by `error` or well: what is not read of its answer is cut, and the breaker is told."""
        if answer is not None:
            answer.close()
        if error is None:
            failed: bool | None = False
        else:
            failed = _is_fault(self.failure(error) if isinstance(error, WireError) else error, seconds)
        self._breaker.leave(given, failed=failed)
        if self._breaker.is_open is not self._shown:
            self._shown = self._breaker.is_open
            self._open.set(self._shown)

    async def send(
        self, method: str, path: str, body: Body, context: RequestContext, seconds: float | None, headers: Mapping[str, str] | None
    ) -> Answer:
        """The head of the answer. A call that never arrived is made once more, within the budget; the proxy before the parts picks another worker."""
        sent = {**headers, **context.headers()} if headers else context.headers()
        self._budget.call()
        retried = False
        while True:
            try:
                return await self._session.request(method, self._origin, path, sent, body, self._patience(context, seconds))
            except (Unreachable, Dropped):
                replayable = body is None or isinstance(body, bytes)
                if retried or not replayable or not self._budget.spend():
                    raise
                retried = True
                self._retries.inc()
                # Jitter, so that many callers do not come back at the same instant.
                await asyncio.sleep(random.uniform(0.005, 0.05))  # noqa: S311

    async def refusal(self, answer: Answer) -> errors.SlipwayError:
        """The error that a part answered with."""
        try:
            body = await answer.read(_ERROR_BYTES)
        except TooMuch:
            body = b""
        error = errors.from_body(answer.status, body)
        after = answer.headers.get("retry-after", "")
        if after.isascii() and after.isdigit() and len(after) < 6:
            error.retry_after_seconds = float(after)
        # A redirect, or a refusal of our own inner call, is our fault and not the caller's.
        if answer.status < 400 or isinstance(error, (errors.Unauthorized, errors.Forbidden)):
            return errors.UpstreamFailed(f"The {self.name} answered with status {answer.status}.")
        return error

    def _patience(self, context: RequestContext, seconds: float | None) -> Patience:
        remaining = context.remaining_seconds
        if remaining is not None and remaining <= 0:
            raise errors.DeadlineExceeded("The request ran out of time.")
        total = min(remaining, seconds) if remaining is not None and seconds is not None else remaining if seconds is None else seconds
        return Patience(total, self._bounds.connect_seconds, self._bounds.idle_seconds)


class _Call:
    """A Call to one part."""

    __slots__ = ("_answer", "_asked", "_given", "_seconds", "_upstream")

    def __init__(
        self,
        upstream: Upstream,
        method: str,
        path: str,
        body: Body,
        context: RequestContext,
        seconds: float | None,
        headers: Mapping[str, str] | None,
    ) -> None:
        self._upstream = upstream
        self._asked = (method, path, body, context, seconds, headers)
        self._seconds = seconds
        self._answer: Answer | None = None

    async def __aenter__(self) -> Answer:
        self._given = self._upstream.enter()
        try:
            self._answer = await self._upstream.send(*self._asked)
            if self._answer.status >= 300:
                raise await self._upstream.refusal(self._answer)
        except BaseException as error:
            self._upstream.end(self._given, self._answer, error, self._seconds)
            if isinstance(error, WireError):
                raise self._upstream.failure(error) from error
            raise
        return self._answer

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._upstream.end(self._given, self._answer, error, self._seconds)
        if isinstance(error, WireError):
            raise self._upstream.failure(error) from error


def _is_fault(error: BaseException, seconds: float | None) -> bool | None:
    """Whether `error` speaks against the part. A refusal of the request or of the load does not, nor does a deadline that was the caller's; what is not
    ours (a caller who left) says nothing."""
    if isinstance(error, errors.UpstreamFailed):
        return True
    if isinstance(error, errors.DeadlineExceeded):
        return True if seconds is not None else None
    return False if isinstance(error, errors.SlipwayError) else None
