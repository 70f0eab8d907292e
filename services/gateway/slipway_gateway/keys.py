"""Who is calling: a bearer key becomes a tenant, with what it may use and how much.

It knows that keys are kept and compared as SHA-256 digests only, in constant time, and that a found key is believed for some seconds. It refuses to know
routes, where keys are stored, and how limits are counted.
"""

import hashlib
import hmac
import secrets
import time
from typing import Annotated, Protocol

from pydantic import BaseModel, ConfigDict, Field
from slipway_shared import errors
from slipway_shared.context import DEFAULT_TENANT

MAX_KEY = 512
Count = Annotated[int, Field(ge=1, le=1 << 40)]


class Limits(BaseModel):
    """What a key or a tenant may use; None means without limit. `budget_usd` is per calendar month (UTC)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    requests_per_minute: Count | None = None
    tokens_per_minute: Count | None = None
    concurrent_streams: Count | None = None
    budget_usd: Annotated[float, Field(gt=0, le=1e9, allow_inf_nan=False)] | None = None

    @property
    def any(self) -> bool:
        """Whether there is anything to count."""
        return bool(self.requests_per_minute or self.tokens_per_minute or self.concurrent_streams or self.budget_usd)


NO_LIMITS = Limits()


class Key(BaseModel):
    """A key as it is kept. `id` names it in logs and limits; of the key itself only the digest (64 hex digits) exists."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    tenant: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
    digest: str
    name: Annotated[str, Field(max_length=100)] = ""
    created: int = 0
    expires: int | None = Field(default=None, description="Unix seconds")
    models: Annotated[tuple[str, ...], Field(max_length=64)] | None = Field(default=None, description="model names; none: every model")
    routes: Annotated[tuple[str, ...], Field(max_length=64)] | None = Field(default=None, description="path prefixes; none: every route")
    limits: Limits = NO_LIMITS
    tenant_limits: Limits = Field(default=NO_LIMITS, description="what all keys of the tenant together may use")

    def check_route(self, path: str) -> None:
        """Raises Forbidden when the key is not meant for `path`."""
        if self.routes is not None and not any(path == route or path.startswith(f"{route.rstrip('/')}/") for route in self.routes):
            raise errors.Forbidden("This API key may not use this route.", code="route_not_allowed")

    def check_model(self, model: str) -> None:
        """Raises Forbidden when the key is not meant for `model`; a model's plain name stands for all of its flavors."""
        if self.models is not None and model not in self.models and model.partition(":")[0] not in self.models:
            raise errors.Forbidden("This API key may not use this model.", param="model", code="model_not_allowed")

    def public(self) -> dict[str, object]:
        """What may be shown of it."""
        return self.model_dump(mode="json", exclude={"digest"})


class KeyStore(Protocol):
    """Where keys are kept. Raises UpstreamFailed while it cannot be read."""

    async def find(self, digest: str) -> Key | None: ...
    async def all(self) -> list[Key]: ...
    async def put(self, key: Key) -> None: ...
    async def delete(self, key_id: str) -> bool: ...


class KeyRing:
    """Looks keys up: the bootstrap key first, then the store, through a cache that believes an answer for `seconds`.

    So a revoked key works for at most `seconds` more, and so does an old limit. While the store is away, keys that were seen go on for `stale_seconds`.
    """

    def __init__(self, store: KeyStore | None, bootstrap: str | None, *, seconds: float, stale_seconds: float = 300.0) -> None:
        self._store = store
        self._bootstrap = Key(id="key_bootstrap", tenant=DEFAULT_TENANT, digest=digest(bootstrap)) if bootstrap else None
        self._seconds = seconds
        self._stale = stale_seconds
        self._cache: dict[str, tuple[float, Key | None]] = {}

    async def find(self, secret: str) -> Key | None:
        """The key behind `secret`, or None when there is none, or none that is still valid."""
        return await self.known(digest(secret))

    async def known(self, wanted: str) -> Key | None:
        """The same for a key of which only the digest is at hand."""
        if self._bootstrap is not None and hmac.compare_digest(self._bootstrap.digest, wanted):
            return self._bootstrap
        if self._store is None:
            return None
        key = await self._looked_up(self._store, wanted)
        if key is None or not hmac.compare_digest(key.digest, wanted):
            return None
        return None if key.expires is not None and key.expires <= time.time() else key

    async def _looked_up(self, store: KeyStore, wanted: str) -> Key | None:
        now = time.monotonic()
        seen = self._cache.get(wanted)
        if seen is not None and now - seen[0] < self._seconds:
            return seen[1]
        try:
            key = await store.find(wanted)
        except errors.UpstreamFailed as error:
            if seen is not None and now - seen[0] < self._stale:
                return seen[1]
            raise errors.Overloaded("Keys cannot be looked up now; try again.", code="keys_unavailable", retry_after_seconds=2.0) from error
        if len(self._cache) > 10_000:
            self._cache.clear()  # guessing keys must not grow memory
        self._cache[wanted] = (now, key)
        return key

    def forget(self, key_digest: str) -> None:
        """A key was changed here: look it up again at once."""
        self._cache.pop(key_digest, None)


def digest(secret: str) -> str:
    """What is kept of a key. Keys are long and random, so a plain hash is enough: there is nothing to guess."""
    return hashlib.sha256(secret.encode()).hexdigest()


def new_secret() -> str:
    """A key with 256 random bits."""
    return f"sk-slipway-{secrets.token_urlsafe(32)}"


def bearer(authorization: str) -> str | None:
    """The key in an `Authorization` header, or None."""
    scheme, _, secret = authorization.partition(" ")
    secret = secret.strip()
    return secret if scheme.lower() == "bearer" and 0 < len(secret) <= MAX_KEY else None
