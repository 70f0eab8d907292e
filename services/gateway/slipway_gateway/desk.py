"""From a body to an Ask: the way in that chat and responses share. It validates, finds the model's card, checks the key's scope and opens the account."""

from collections.abc import Callable

from fastapi import Request
from slipway_shared import errors
from slipway_shared.context import RequestContext
from slipway_shared.dialect.chat import ChatRequest
from slipway_shared.metrics import Metrics
from slipway_shared.middleware import headers_of

from slipway_gateway.account import Account, Accounts, estimate_chat
from slipway_gateway.admission import Load
from slipway_gateway.ask import Ask
from slipway_gateway.catalog import Catalog, ModelCard
from slipway_gateway.keys import Key
from slipway_gateway.routing import Permit, Router, Wishes, wishes
from slipway_gateway.streaming import unless_gone
from slipway_gateway.surface import parse
from slipway_gateway.timing import Stages
from slipway_gateway.upstream import AWAY

CALLER_GONE = 499
"""The status that logs show for a caller who hung up (nginx's convention); nobody receives it."""


class Desk:
    """Reads requests. Every Ask that it gives has an open account, which its taker must close."""

    def __init__(self, catalog: Catalog, accounts: Accounts, router: Router, metrics: Metrics, *, keepalive_seconds: float) -> None:
        self._metrics = metrics
        self.keepalive_seconds = keepalive_seconds
        self._router = router
        self._catalog = catalog
        self._accounts = accounts

    async def read(self, request: Request, body: bytes) -> Ask:
        """The chat request in `body`, ready for the pipeline and admitted to a pool; raises BadRequest, NotFound, Forbidden, LimitReached, Overloaded, Gone."""
        context: RequestContext = request.scope["state"]["context"]
        key: Key = request.scope["state"]["key"]
        asked = parse(ChatRequest, body)
        key.check_model(asked.model)
        card = await self._card(asked.model, context)
        stages = Stages(self._metrics, context.started)
        retrieving = asked.retrieval is not False and (asked.retrieval is not None or card.kind == "reader")
        if asked.n > 1 and card.kind == "reader" and retrieving:
            raise errors.BadRequest("n must be 1 where a reader answers from passages.", param="n")
        wanted, estimate = wishes(headers_of(request.scope)), estimate_chat(asked)
        if wanted.device_class is not None:
            context = context._replace(device_class=wanted.device_class)
        # A name that nobody could look up must not become a metric's label; what has a price is paid for all the same.
        name = asked.model if card.owned_by else self._accounts.priced(asked.model) or "unknown"
        account = await self._accounts.open(key, context.span_id, name, estimate)
        permit = await self.admit(request, asked.model, Load(estimate.prompt, estimate.answer, asked.priority), wanted, context, account)
        stages.mark("queue")
        return Ask(asked, body, card, context, stages, account, permit)

    async def admit(
        self, request: Request, model: str, load: Load, wanted: Wishes, context: RequestContext, account: Account
    ) -> Permit | None:
        """Leave to ask a pool, which `account` gives back when it closes; None where there is no pool. A refusal, or a caller who left, closes `account`."""
        if not self._router.pools:
            return None
        turn = self._router.admit(model, load, wanted, context)
        try:
            waits = all(not pool.gate.free for pool in self._router.pools)
            permit = await (unless_gone(request.receive, turn) if waits else turn)
        except BaseException:
            self._accounts.close_behind(account)
            raise
        account.release = permit.close
        return permit

    def truth(self, ask: Ask, *, limits: bool = True) -> Callable[[], dict[str, str]]:
        """The headers that tell where an answer came from, what it took and (`limits`) what is left, as far as known when they are asked for."""

        def headers() -> dict[str, str]:
            out = {"x-slipway-timing": ask.stages.header(), **(ask.account.grant.headers if limits and ask.account.grant else {})}
            if ask.card.digest:
                out["x-slipway-release"] = ask.card.digest
            if ask.permit is not None:
                out |= ask.permit.headers()
            return out

        return headers

    async def _card(self, model: str, context: RequestContext) -> ModelCard:
        try:
            return await self._catalog.card(model, context)
        except AWAY:
            # Nobody knows the models now. The pipeline still can quote from the sources, which is what it does for a reader.
            return ModelCard(id=model, kind="reader", owned_by="")
