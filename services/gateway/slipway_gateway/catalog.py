"""Which models can be asked now, as the generator lists them, believed for some seconds.

It knows a model's card. It refuses to know how a model is asked, and never keeps a request waiting for a refresh when it still has a list.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from slipway_shared import errors
from slipway_shared.context import RequestContext
from slipway_shared.grounding import ModelKind

from slipway_gateway.pools import Pool
from slipway_gateway.upstream import AWAY

MIN_REFRESH_SECONDS = 1.0
"""An unknown name makes us ask again, at most this often, so that guessing names does not load the generator."""


class ModelCard(BaseModel):
    """One entry of `GET /v1/models`. Engines of other makers send fewer fields; what they add is passed on."""

    model_config = ConfigDict(extra="allow", frozen=True)

    id: str
    object: str = "model"
    created: int = 0
    owned_by: str = "slipway"
    kind: ModelKind = "chat"
    digest: str | None = None
    context_tokens: int | None = None
    device_classes: tuple[str, ...] = ()
    eval: dict[str, float] = Field(default_factory=dict)


class _Listing(BaseModel):
    data: list[ModelCard]


class Catalog:
    """The models of all pools together. A pool that is away keeps what it listed last."""

    def __init__(self, pools: Sequence[Pool], seconds: float) -> None:
        self._pools = pools
        self._seconds = seconds
        self._cards: dict[str, ModelCard] | None = None
        self._asked = float("-inf")
        self._refreshing: asyncio.Task[None] | None = None
        self._awaited: asyncio.Future[None] | None = None

    async def cards(self, context: RequestContext) -> list[ModelCard]:
        """Every model; raises UpstreamFailed or its kin while the generator is away and was never seen."""
        return list((await self._fresh(context)).values())

    async def card(self, model: str, context: RequestContext) -> ModelCard:
        """The card of `model`; raises NotFound that names the models there are."""
        if (found := (await self._fresh(context)).get(model)) is not None:
            return found
        if time.monotonic() - self._asked > MIN_REFRESH_SECONDS:
            await self._together(context)
        cards = self._cards or {}
        if (found := cards.get(model)) is not None:
            return found
        raise errors.NotFound(
            f"The model does not exist. Available: {', '.join(sorted(cards)) or 'none'}.", param="model", code="model_not_found"
        )

    async def _fresh(self, context: RequestContext) -> dict[str, ModelCard]:
        if self._cards is None:
            await self._together(context)
        elif time.monotonic() - self._asked > self._seconds:
            self._refresh_behind(context)
        return self._cards or {}

    async def _together(self, context: RequestContext) -> None:
        """A refresh that everybody waits for who needs one now: a thousand callers of a gateway that has just started must not each ask for the list."""
        if self._awaited is None or self._awaited.done():
            self._awaited = asyncio.ensure_future(self._refresh(context._replace(deadline=None)))
            self._awaited.add_done_callback(_seen)
        await asyncio.shield(self._awaited)

    def _refresh_behind(self, context: RequestContext) -> None:
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.create_task(self._refresh_quietly(context.with_deadline(self._seconds)))

    async def _refresh_quietly(self, context: RequestContext) -> None:
        try:
            await self._refresh(context)
        except AWAY:
            self._asked = time.monotonic()  # the old list stays; asked again after the next interval

    async def _refresh(self, context: RequestContext) -> None:
        if not self._pools:
            raise errors.UpstreamFailed("This installation has no generator.")
        listed = await asyncio.gather(*(self._ask(pool, context) for pool in self._pools), return_exceptions=True)
        found: dict[str, ModelCard] = {}
        for pool, cards in zip(self._pools, listed, strict=True):
            if not isinstance(cards, BaseException):
                pool.learn({card.id: card.eval for card in cards})
                found |= {card.id: card for card in cards if card.id not in found}
            elif not isinstance(cards, AWAY) or len(self._pools) == 1 or all(isinstance(one, BaseException) for one in listed):
                raise cards
            else:
                found |= {name: card for name, card in (self._cards or {}).items() if name in pool.models and name not in found}
        self._cards = found
        self._asked = time.monotonic()

    @staticmethod
    async def _ask(pool: Pool, context: RequestContext) -> list[ModelCard]:
        raw = await pool.workers.get("/v1/models", context, seconds=5.0)
        try:
            return with_plain_names(_Listing.model_validate_json(raw).data)
        except ValidationError as error:
            raise errors.UpstreamFailed("The generator's list of models has a wrong shape.") from error

    async def aclose(self) -> None:
        """Ends refreshes under way."""
        running = [one for one in (self._refreshing, self._awaited) if one is not None]
        for one in running:
            one.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def _seen(refresh: "asyncio.Future[None]") -> None:
    """Whoever waited raised what went wrong; that everybody may have left is no reason to warn."""
    if not refresh.cancelled():
        refresh.exception()


def with_plain_names(cards: list[ModelCard]) -> list[ModelCard]:
    """Our flavors (`slipway-reader:int8`) can also be asked by the model's plain name, which stands first and means the flavor in `root`."""
    names = {card.id for card in cards}
    plain: dict[str, ModelCard] = {}
    for card in cards:
        name, _, flavor = card.id.partition(":")
        if flavor and card.digest is not None and name not in names and name not in plain:
            plain[name] = card.model_copy(update={"id": name, "root": card.id})
    return [*plain.values(), *cards]


def listing(cards: list[ModelCard]) -> bytes:
    """OpenAI's list object."""
    document: dict[str, Any] = {"object": "list", "data": [card.model_dump(mode="json") for card in cards]}
    return orjson.dumps(document)
