"""Redis, for installations that have one. Its client library, with the telemetry that it brings, costs a tenth of a start and eight megabytes, so nobody
imports it before it is needed; whoever talks to Redis takes the connection and the failures from here. It refuses to know what is kept there.
"""

from typing import TYPE_CHECKING

from slipway_shared.lean import without

if TYPE_CHECKING:
    from redis.asyncio import Redis


def connect(url: str, *, seconds: float) -> "Redis":
    """A client whose every call takes `seconds` at most. It makes no retries of its own: while Redis is away, its users go on by themselves."""
    with without("opentelemetry.sdk.metrics"):  # its own telemetry, which nobody turns on, is half of its weight
        from redis.asyncio import Redis
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff

    return Redis.from_url(url, socket_timeout=seconds, socket_connect_timeout=seconds, retry=Retry(NoBackoff(), 0), max_connections=128)


def lost() -> tuple[type[Exception], ...]:
    """What a call raises while Redis is away or refuses; asked for in an `except`, which looks only when something was raised."""
    from redis.exceptions import RedisError

    return (RedisError, OSError, TimeoutError)
