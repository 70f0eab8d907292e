"""`/admin/keys`: create, list, show, rotate and revoke keys. Reached on the gateway's own port with the admin token; the edge does not route it."""

import secrets
import time
from typing import Annotated

import orjson
from fastapi import APIRouter, Path, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from slipway_shared import errors

from slipway_gateway.keys import NO_LIMITS, Key, KeyRing, KeyStore, Limits, digest, new_secret
from slipway_gateway.surface import described, parse, takes

KeyId = Annotated[str, Path(pattern=r"^key_[0-9a-f]{16}$")]


class NewKey(BaseModel):
    """What a key is made from."""

    model_config = ConfigDict(extra="forbid")

    tenant: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
    name: Annotated[str, Field(max_length=100)] = ""
    ttl_seconds: Annotated[int, Field(ge=1, le=10 * 366 * 86400)] | None = None
    models: Annotated[tuple[Annotated[str, Field(min_length=1, max_length=128)], ...], Field(max_length=64)] | None = None
    routes: Annotated[tuple[Annotated[str, Field(pattern=r"^/v1(/[a-z_/]*)?$")], ...], Field(max_length=64)] | None = None
    limits: Limits = NO_LIMITS
    tenant_limits: Limits = NO_LIMITS


def admin_routes(store: KeyStore | None, ring: KeyRing) -> APIRouter:
    """The routes on `store`; a change is seen by this gateway at once, by others when their cache ends."""
    router = APIRouter(tags=["admin"], include_in_schema=False)

    @router.post("/admin/keys", openapi_extra=takes(NewKey), responses=described())
    async def create(request: Request) -> Response:
        asked = parse(NewKey, await request.body())
        now = int(time.time())
        secret = new_secret()
        key = Key(
            id=f"key_{secrets.token_hex(8)}",
            digest=digest(secret),
            created=now,
            expires=now + asked.ttl_seconds if asked.ttl_seconds else None,
            **asked.model_dump(exclude={"ttl_seconds", "limits", "tenant_limits"}),
            limits=asked.limits,
            tenant_limits=asked.tenant_limits,
        )
        await _present(store).put(key)
        ring.forget(key.digest)
        return _shown({**key.public(), "key": secret}, status=201)

    @router.get("/admin/keys")
    async def listed() -> Response:
        return _shown({"object": "list", "data": [key.public() for key in await _present(store).all()]})

    @router.get("/admin/keys/{key_id}")
    async def show(key_id: KeyId) -> Response:
        return _shown((await _find(store, key_id)).public())

    @router.post("/admin/keys/{key_id}/rotate")
    async def rotate(key_id: KeyId) -> Response:
        """A new secret for the same key; the old one stops at once."""
        old = await _find(store, key_id)
        secret = new_secret()
        await _present(store).put(old.model_copy(update={"digest": digest(secret)}))
        ring.forget(old.digest)
        return _shown({**old.public(), "key": secret})

    @router.delete("/admin/keys/{key_id}")
    async def revoke(key_id: KeyId) -> Response:
        key = await _find(store, key_id)
        await _present(store).delete(key_id)
        ring.forget(key.digest)
        return _shown({"id": key_id, "object": "key", "deleted": True})

    return router


def _present(store: KeyStore | None) -> KeyStore:
    if store is None:
        raise errors.Conflict("This gateway keeps no keys: it has neither SLIPWAY_REDIS_URL nor SLIPWAY_GATEWAY_KEYS_FILE.")
    return store


async def _find(store: KeyStore | None, key_id: str) -> Key:
    for key in await _present(store).all():
        if key.id == key_id:
            return key
    raise errors.NotFound("There is no such key.")


def _shown(document: dict[str, object], *, status: int = 200) -> Response:
    return Response(orjson.dumps(document), status_code=status, media_type="application/json", headers={"cache-control": "no-store"})
