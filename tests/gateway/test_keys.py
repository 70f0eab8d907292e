"""Keys: made, shown once, scoped, rotated, expired and revoked, kept as digests in Redis or in a file."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from slipway_gateway.keys import Key, KeyRing, bearer, digest
from slipway_gateway.keystores import FileKeys
from slipway_shared import errors

ADMIN = "admin-token-of-this-test"
AS_ADMIN = {"authorization": f"Bearer {ADMIN}"}


async def create(platform: Any, **asked: Any) -> dict[str, Any]:
    async with platform.client.post("/admin/keys", json={"tenant": "acme", **asked}, headers=AS_ADMIN) as response:
        assert response.status == 201, await response.text()
        return await response.json()


async def status(platform: Any, key: str, path: str = "/v1/models") -> int:
    async with platform.client.get(path, headers={"authorization": f"Bearer {key}"}) as response:
        return response.status


@pytest.fixture(params=["redis", "file"])
async def platform(start: Any, redis_server: Any, tmp_path: Path, request: Any) -> Any:
    where = {"redis_url": redis_server.url} if request.param == "redis" else {"keys_file": tmp_path / "keys.json"}
    async with start(admin_token=ADMIN, key_cache_seconds=0, redis_seconds=2, **where) as running:
        yield running


async def test_a_key_lives_and_dies(platform: Any) -> None:
    made = await create(platform, name="ci")
    assert made["key"].startswith("sk-slipway-") and "digest" not in made
    assert await status(platform, made["key"]) == 200
    async with platform.client.get("/v1/files", headers={"authorization": f"Bearer {made['key']}"}) as response:
        assert (await response.json())["tenant"] == "acme"
    async with platform.client.get("/admin/keys", headers=AS_ADMIN) as response:
        listed = await response.text()
    assert made["id"] in listed and made["key"] not in listed and digest(made["key"]) not in listed
    async with platform.client.post(f"/admin/keys/{made['id']}/rotate", headers=AS_ADMIN) as response:
        rotated = await response.json()
    assert await status(platform, made["key"]) == 401 and await status(platform, rotated["key"]) == 200
    async with platform.client.delete(f"/admin/keys/{made['id']}", headers=AS_ADMIN) as response:
        assert (await response.json())["deleted"]
    assert await status(platform, rotated["key"]) == 401
    async with platform.client.get(f"/admin/keys/{made['id']}", headers=AS_ADMIN) as response:
        assert response.status == 404


async def test_scopes_hold(platform: Any) -> None:
    made = await create(platform, models=["reader"], routes=["/v1/chat/completions"])
    auth = {"authorization": f"Bearer {made['key']}"}
    assert await status(platform, made["key"]) == 403
    ask = {"messages": [{"role": "user", "content": "What is the capital of France?"}]}
    for model, expected in (("reader", 200), ("chat", 403)):
        async with platform.client.post("/v1/chat/completions", json={"model": model, **ask}, headers=auth) as response:
            assert response.status == expected


async def test_admin_needs_its_token_and_nothing_else_opens_it(platform: Any, start: Any) -> None:
    made = await create(platform)
    for headers in ({}, platform.auth, {"authorization": f"Bearer {made['key']}"}):
        async with platform.client.get("/admin/keys", headers=headers) as response:
            assert response.status == 401
    assert await status(platform, ADMIN) == 401
    async with start() as without, without.client.get("/admin/keys", headers=AS_ADMIN) as response:
        assert response.status == 404


@pytest.mark.parametrize(
    "bad", [{"tenant": "A B"}, {"tenant": "a", "limits": {"requests_per_minute": 0}}, {"tenant": "a", "limits": {"rpm": 3}}, {}]
)
async def test_a_key_that_makes_no_sense_is_refused(platform: Any, bad: dict[str, Any]) -> None:
    async with platform.client.post("/admin/keys", json=bad, headers=AS_ADMIN) as response:
        assert response.status == 400


class Flaky:
    """A store with one key, which can be away."""

    def __init__(self, key: Key) -> None:
        self.key = key
        self.away = False

    async def find(self, digest: str) -> Key | None:
        if self.away:
            raise errors.UpstreamFailed("away")
        return self.key if digest == self.key.digest else None

    async def all(self) -> list[Key]:
        return [self.key]

    async def put(self, key: Key) -> None:
        self.key = key

    async def delete(self, key_id: str) -> bool:
        return False


async def test_an_expired_key_is_none_and_a_known_key_outlives_its_store() -> None:
    store = Flaky(Key(id="key_1", tenant="t", digest=digest("secret"), expires=int(time.time()) + 100))
    ring = KeyRing(store, None, seconds=0)
    assert await ring.find("secret") == store.key
    store.away = True
    assert await ring.find("secret") == store.key
    with pytest.raises(errors.Overloaded):
        await ring.find("never seen")
    store.away = False
    store.key = store.key.model_copy(update={"expires": int(time.time()) - 1})
    assert await ring.find("secret") is None


async def test_the_file_is_private_and_survives_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "keys.json"
    key = Key(id="key_1", tenant="t", digest=digest("secret"))
    await FileKeys(path).put(key)
    assert path.stat().st_mode & 0o777 == 0o600
    assert await FileKeys(path).find(digest("secret")) == key
    path.write_text("{broken")
    with pytest.raises(errors.UpstreamFailed):
        await FileKeys(path).find(digest("secret"))


def test_a_bearer_header_is_read_and_nothing_else_is() -> None:
    assert bearer("Bearer abc") == "abc" == bearer("bearer  abc ")
    assert bearer("abc") is bearer("") is bearer("Basic abc") is bearer("Bearer ") is bearer("Bearer " + "x" * 600) is None


async def test_two_processes_on_one_file_see_and_keep_each_others_keys(tmp_path: Path) -> None:
    one, two = FileKeys(tmp_path / "keys"), FileKeys(tmp_path / "keys")
    keys = [Key(id=f"key_{n}", tenant="acme", digest=digest(str(n))) for n in range(20)]
    assert await one.all() == [] and await two.all() == []
    await asyncio.gather(*((one, two)[n % 2].put(key) for n, key in enumerate(keys)))
    assert {key.id for key in await one.all()} == {key.id for key in await two.all()} == {key.id for key in keys}
    assert await two.delete("key_0") and await one.find(digest("0")) is None
