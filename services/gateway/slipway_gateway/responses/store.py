"""Where responses are remembered, per tenant and for a while, for all processes of the gateway. It refuses to know what a response is.

A response that is made in the background has a mark that its process renews while it lives; who reads an unfinished response without one knows that
nobody works on it any more. Another mark asks for its end.
"""

from typing import Any

import orjson
from slipway_shared import errors

from slipway_gateway.shelf import Shelf

MAX_BYTES = 4 << 20
ALIVE_SECONDS = 6.0
"""How long after its last sign of life a process that makes a response is believed to be there."""
_CANCEL_SECONDS = 600.0


class ResponseStore:
    """Keeps a response with the messages that led to it. What is lost or too old is simply not there. Raises Overloaded when it cannot be reached."""

    def __init__(self, shelf: Shelf, ttl_seconds: int) -> None:
        self._shelf = shelf
        self._ttl = ttl_seconds

    async def put(self, tenant: str, response: dict[str, Any], messages: list[dict[str, Any]]) -> None:
        """Remembers; an entry above MAX_BYTES is not kept."""
        raw = orjson.dumps({"response": response, "messages": messages})
        if len(raw) <= MAX_BYTES:
            await self._shelf.put(_name(tenant, response["id"]), raw, self._ttl)

    async def get(self, tenant: str, response_id: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """A response and its messages; raises NotFound for what is not this tenant's."""
        name = _name(tenant, response_id)
        raw = await self._shelf.get(name)
        if raw is None:
            raise errors.NotFound("There is no such response.", param="response_id")
        document = orjson.loads(raw)
        if document["response"]["status"] == "in_progress" and await self._shelf.get(_alive(name)) is None:
            # It may have ended between the two looks.
            document = orjson.loads(await self._shelf.get(name) or raw)
            if document["response"]["status"] == "in_progress":
                error = {"code": "server_error", "message": "The process that made this response ended before it was done; ask again."}
                document["response"] = {**document["response"], "status": "failed", "error": error}
        return document["response"], document["messages"]

    async def delete(self, tenant: str, response_id: str) -> None:
        """Forgets a response; raises NotFound when there is none."""
        name = _name(tenant, response_id)
        raw = await self._shelf.get(name)
        if raw is None or not await self._shelf.swap(name, raw, b""):
            raise errors.NotFound("There is no such response.", param="response_id")

    async def alive(self, tenant: str, response_id: str) -> bool:
        """Says that this process works on the response; whether it shall go on."""
        name = _name(tenant, response_id)
        await self._shelf.put(_alive(name), b"1", ALIVE_SECONDS)
        return await self._shelf.get(f"{name}:cancel") is None

    async def cancel(self, tenant: str, response_id: str) -> None:
        """Asks whoever works on the response to stop."""
        await self._shelf.put(f"{_name(tenant, response_id)}:cancel", b"1", _CANCEL_SECONDS)


def _name(tenant: str, response_id: str) -> str:
    return f"response:{tenant}:{response_id}"


def _alive(name: str) -> str:
    return f"{name}:alive"
