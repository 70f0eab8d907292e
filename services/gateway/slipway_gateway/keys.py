"""Who is calling: a bearer key becomes a tenant.

It knows that keys are kept and compared as SHA-256 digests only, in constant time. It refuses to know routes and limits.
"""

import hashlib
import hmac
from dataclasses import dataclass
from typing import Protocol

from slipway_shared.context import DEFAULT_TENANT

MAX_KEY = 512


@dataclass(frozen=True, slots=True)
class Key:
    """A key that was found. `id` names it in logs and limits; the key itself is nowhere."""

    id: str
    tenant: str


class KeyRing(Protocol):
    """Where keys are looked up by digest (64 hex digits)."""

    async def find(self, digest: str) -> Key | None:
        """The key, or None when there is none, or none that is still valid."""
        ...


class BootstrapKeys:
    """The one key that the environment gave, of the default tenant. Without one, every key is refused."""

    def __init__(self, secret: str | None) -> None:
        self._digest = digest(secret) if secret else None

    async def find(self, digest: str) -> Key | None:
        if self._digest is not None and hmac.compare_digest(self._digest, digest):
            return Key(id="key_bootstrap", tenant=DEFAULT_TENANT)
        return None


def digest(secret: str) -> str:
    """What is kept of a key. Keys are long and random, so a plain hash is enough: there is nothing to guess."""
    return hashlib.sha256(secret.encode()).hexdigest()


def bearer(authorization: str) -> str | None:
    """The key in an `Authorization` header, or None."""
    scheme, _, secret = authorization.partition(" ")
    secret = secret.strip()
    return secret if scheme.lower() == "bearer" and 0 < len(secret) <= MAX_KEY else None
