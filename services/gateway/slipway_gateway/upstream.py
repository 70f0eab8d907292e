"""Calls to one part of the platform, over the process's one HTTP session.

It knows how a call is bounded in time, which headers travel, when a call is tried again or not made at all, and which failure becomes which error.
It refuses to know what the parts do.
"""

import asyncio
import io
import random
from collections.abc import AsyncGenerator, AsyncIterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
from slipway_shared import errors
from slipway_shared.context import RequestContext
from slipway_shared.metrics import Metrics

from slipway_gateway.breaker import Breaker, RetryBudget

AWAY = (errors.UpstreamFailed, errors.Overloaded, errors.RateLimited, errors.DeadlineExceeded)
"""What a part that cannot serve now looks like: the pipeline may go on without it. Other errors are about the request itself."""

MAX_ANSWER_BYTES = 32 << 20
_LARGE_BODY = 1 << 20
"""Above this, the client library wants a file, which it sends in pieces instead of blocking the loop."""
_JSON = {"content-type": "application/json"}
_NEVER_ARRIVED = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.ServerDisconnectedError, aiohttp.ClientOSError)
"""Failures after which nobody has begun to answer: the only ones that are tried again."""

Body = bytes | AsyncIterable[bytes] | None


class Session:
    """The one HTTP client session of the process, open while the service runs. Bodies are relayed as they are, so nothing is decompressed."""

    def __init__(self, connections: int) -> None:
        self._connections = connections
        self._client: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> "Session":
        # The client binds to the running loop, so it is made here and not where the app is composed.
        connector = aiohttp.TCPConnector(limit=self._connections, limit_per_host=0, ttl_dns_cache=30, keepalive_timeout=30)
        self._client = aiohttp.ClientSession(
            connector=connector,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("User-Agent", "Accept-Encoding"),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._client is not None:
            await self._client.close()

    @property
    def client(self) -> aiohttp.ClientSession:
        """The open session."""
        if self._client is None:
            raise RuntimeError("the session is not open")
        return self._client


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long a part may take and how often it may fail; seconds."""

    connect_seconds: float
    idle_seconds: float
    failures: int
    open_seconds: float


class Upstream:
    """One part by name. `idle_seconds` bounds each silence, the request's deadline bounds the whole call."""

    def __init__(self, name: str, url: str, session: Session, bounds: Bounds, metrics: Metrics) -> None:
        self.name = name
        self._url = url
        self._session = session
        self._bounds = bounds
        self._breaker = Breaker(name, failures=bounds.failures, open_seconds=bounds.open_seconds)
        self._budget = RetryBudget()
        self._open = metrics.gauge("slipway_breaker_open", upstream=name)
        self._retries = metrics.counter("slipway_retries", upstream=name)

    @property
    def failing(self) -> bool:
        """Whether a call would be refused now because those before it failed."""
        return self._breaker.refusing

    async def post(self, path: str, body: bytes, context: RequestContext, *, seconds: float | None = None) -> bytes:
        """The body of a 2xx answer; raises the error that the part answered with, UpstreamFailed, or DeadlineExceeded."""
        async with self.open("POST", path, body, context, seconds=seconds, headers=_JSON) as response:
            return await self.read(response)

    async def get(self, path: str, context: RequestContext, *, seconds: float | None = None) -> bytes:
        """As `post`, without a body."""
        async with self.open("GET", path, None, context, seconds=seconds) as response:
            return await self.read(response)

    @asynccontextmanager
    async def open(
        self,
        method: str,
        path: str,
        body: Body,
        context: RequestContext,
        *,
        seconds: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> AsyncGenerator[aiohttp.ClientResponse]:
        """A response with a 2xx status whose body has not been read. Leaving the block early closes the connection, which cancels the upstream's work."""
        timeout = self._timeout(context, seconds)
        given = self._breaker.enter()
        failed: bool | None = None
        try:
            response = await self._send(method, path, body, {**(headers or {}), **context.headers()}, timeout)
            try:
                if response.status >= 300:
                    raise await self._error(response)
                yield response
                failed = False
            except BaseException:
                response.close()
                raise
            response.release()
        except (aiohttp.ClientError, ConnectionError, TimeoutError) as error:
            raised = self.failure(error)
            failed = self._is_fault(raised, seconds)
            raise raised from error
        except errors.SlipwayError as error:
            failed = self._is_fault(error, seconds)
            raise
        finally:
            self._breaker.leave(given, failed=failed)
            self._open.set(self._breaker.is_open)

    async def read(self, response: aiohttp.ClientResponse) -> bytes:
        """The whole body, up to MAX_ANSWER_BYTES."""
        chunks: list[bytes] = []
        size = 0
        async for chunk in response.content.iter_any():
            size += len(chunk)
            if size > MAX_ANSWER_BYTES:
                raise errors.UpstreamFailed(f"The {self.name} answered with more than {MAX_ANSWER_BYTES} bytes.")
            chunks.append(chunk)
        return b"".join(chunks)

    def failure(self, error: BaseException) -> errors.SlipwayError:
        """A client library's error as one of ours."""
        if isinstance(error, (aiohttp.ConnectionTimeoutError, aiohttp.ClientConnectorError)):
            return errors.UpstreamFailed(f"The {self.name} cannot be reached.")
        if isinstance(error, aiohttp.SocketTimeoutError):
            return errors.UpstreamFailed(f"The {self.name} fell silent.")
        if isinstance(error, TimeoutError):
            return errors.DeadlineExceeded(f"The {self.name} did not answer in time.")
        return errors.UpstreamFailed(f"The connection to the {self.name} broke.")

    async def _send(
        self, method: str, path: str, body: Body, headers: dict[str, str], timeout: aiohttp.ClientTimeout
    ) -> aiohttp.ClientResponse:
        """The head of the answer. A call that never arrived is made once more, within the budget; the proxy before the parts picks another worker."""
        self._budget.call()
        retried = False
        while True:
            data = io.BytesIO(body) if isinstance(body, bytes) and len(body) > _LARGE_BODY else body
            try:
                return await self._session.client.request(
                    method, self._url + path, data=data, headers=headers, timeout=timeout, allow_redirects=False
                )
            except _NEVER_ARRIVED:
                replayable = body is None or isinstance(body, bytes)
                if retried or not replayable or not self._budget.spend():
                    raise
                retried = True
                self._retries.inc()
                # Jitter, so that many callers do not come back at the same instant.
                await asyncio.sleep(random.uniform(0.005, 0.05))  # noqa: S311

    def _is_fault(self, error: errors.SlipwayError, seconds: float | None) -> bool | None:
        """Whether `error` speaks against the part. A refusal of the request or of the load does not, nor does a deadline that was the caller's."""
        if isinstance(error, errors.UpstreamFailed):
            return True
        if isinstance(error, errors.DeadlineExceeded):
            return True if seconds is not None else None
        return False

    def _timeout(self, context: RequestContext, seconds: float | None) -> aiohttp.ClientTimeout:
        remaining = context.remaining_seconds
        if remaining is not None and remaining <= 0:
            raise errors.DeadlineExceeded("The request ran out of time.")
        total = min((s for s in (remaining, seconds) if s is not None), default=None)
        return aiohttp.ClientTimeout(total=total, sock_connect=self._bounds.connect_seconds, sock_read=self._bounds.idle_seconds)

    async def _error(self, response: aiohttp.ClientResponse) -> errors.SlipwayError:
        raw = await response.content.read(1 << 16)
        error = errors.from_body(response.status, raw)
        after = response.headers.get("retry-after", "")
        if after.isascii() and after.isdigit() and len(after) < 6:
            error.retry_after_seconds = float(after)
        # A redirect, or a refusal of our own inner call, is our fault and not the caller's.
        if response.status < 400 or isinstance(error, (errors.Unauthorized, errors.Forbidden)):
            return errors.UpstreamFailed(f"The {self.name} answered with status {response.status}.")
        return error
