"""`POST /v1/completions`: plain prompts, with echo and log-probabilities, moderated and accounted like chat.

The generator validates what is particular to it; here stands what the gateway itself must know. It refuses to know tokens: prompts given as ids are
turned to text by the generator before the safety filter reads them.
"""

import contextlib
from collections.abc import AsyncGenerator
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from slipway_shared import errors
from slipway_shared.context import RequestContext
from slipway_shared.dialect.chat import MAX_TEXT, StreamOptions
from slipway_shared.middleware import headers_of

from slipway_gateway.account import ASSUMED_ANSWER_TOKENS, Account, Accounts, Estimate, tokens_of
from slipway_gateway.admission import Load
from slipway_gateway.catalog import Catalog
from slipway_gateway.desk import Desk
from slipway_gateway.frames import Frame, TextWriter, relay
from slipway_gateway.guard import Guard
from slipway_gateway.keys import Key
from slipway_gateway.routing import Permit, wishes
from slipway_gateway.safety import Safety
from slipway_gateway.settings import GatewaySettings
from slipway_gateway.streaming import EventStream, Gone, unless_gone
from slipway_gateway.surface import described, parse, takes
from slipway_gateway.upstream import AWAY, Upstream

Text = Annotated[str, Field(max_length=MAX_TEXT)]
Ids = Annotated[list[Annotated[int, Field(ge=0, lt=1 << 53)]], Field(min_length=1, max_length=1 << 17)]
PATH = "/v1/completions"
_JSON = {"content-type": "application/json"}


class CompletionBody(BaseModel):
    """What the gateway reads of a completion request; the generator knows the other fields and refuses unknown ones."""

    model_config = ConfigDict(extra="allow", frozen=True)

    model: Annotated[str, Field(min_length=1, max_length=128)]
    prompt: (
        Text | Ids | Annotated[list[Text], Field(min_length=1, max_length=64)] | Annotated[list[Ids], Field(min_length=1, max_length=64)]
    )
    stream: bool = False
    stream_options: StreamOptions | None = None
    max_tokens: Annotated[int, Field(ge=0, le=1 << 17)] | None = None
    n: Annotated[int, Field(ge=1, le=8)] = 1
    priority: Annotated[int, Field(ge=-100, le=100)] = 0


def completion_routes(desk: Desk, safety: Safety, catalog: Catalog, accounts: Accounts, settings: GatewaySettings) -> APIRouter:
    """The completions endpoint, admitted to pools by `desk`."""
    router = APIRouter(tags=["completions"])
    completions = _Completions(safety, accounts, settings)

    @router.post(PATH, openapi_extra=takes(CompletionBody), responses=described(stream=True))
    async def complete(request: Request) -> Response:
        """Continue one or several prompts."""
        context: RequestContext = request.scope["state"]["context"]
        key: Key = request.scope["state"]["key"]
        body = await request.body()
        asked = parse(CompletionBody, body)
        key.check_model(asked.model)
        card = await catalog.card(asked.model, context)
        wanted, estimate = wishes(headers_of(request.scope)), _estimate(asked)
        account = await accounts.open(key, context.span_id, asked.model, estimate)
        load = Load(estimate.prompt, estimate.answer, asked.priority)
        permit = _present(await desk.admit(request, asked.model, load, wanted, context, account), accounts, account)
        head = {**({"x-slipway-release": card.digest} if card.digest else {}), **permit.headers()}
        if asked.stream:
            frames = completions.stream(asked, body, context, account, permit)
            grant = account.grant
            return EventStream(
                frames,
                headers=lambda: {**head, **(grant.headers if grant else {})},
                keepalive_seconds=settings.keepalive_seconds,
                ended=lambda: accounts.close_behind(account),
            )
        settled = False
        try:
            answer = await unless_gone(request.receive, completions.complete(asked, body, context, account, permit))
            settled = True
            left = await accounts.close(account)
        except Gone:
            return Response(status_code=499)
        finally:
            if not settled:
                accounts.close_behind(account)
        return Response(answer, media_type="application/json", headers={**head, **left})

    return router


class _Completions:
    """Checks the prompt, asks, checks what is said."""

    def __init__(self, safety: Safety, accounts: Accounts, settings: GatewaySettings) -> None:
        self._safety = safety
        self._accounts = accounts
        self._settings = settings

    async def complete(self, asked: CompletionBody, body: bytes, context: RequestContext, account: Account, permit: Permit) -> bytes:
        """The whole answer."""
        body = await self._checked(permit.workers, asked, body, context)
        account.asked()
        raw = await _ask(permit, body, context)
        document = orjson.loads(raw)
        account.exact(document.get("usage") or {})
        if not self._safety.present:
            return raw
        for choice in document["choices"]:
            verdict = await self._safety.output(choice.get("text") or "", context, final=True)
            if verdict.verdict == "block":
                choice.update(text="", finish_reason="content_filter", logprobs=None)
            elif verdict.verdict == "redact" and verdict.text is not None:
                choice.update(text=verdict.text, logprobs=None)  # log-probabilities spell the text that was hidden
        return orjson.dumps(document)

    async def stream(
        self, asked: CompletionBody, body: bytes, context: RequestContext, account: Account, permit: Permit
    ) -> AsyncGenerator[bytes]:
        """The answer as frames."""
        frames = self._frames(asked, body, context, account, permit)
        if self._safety.present:
            frames = Guard(
                lambda text, final: self._safety.output(text, context, final=final),
                TextWriter(asked.model),
                window=self._settings.output_window_tokens,
                overlap=self._settings.output_overlap_chars,
                seconds=self._settings.output_window_seconds,
                observe=lambda _: None,
            ).run(frames)
        wants_usage = asked.stream_options is not None and asked.stream_options.include_usage
        async with contextlib.aclosing(frames):
            async for frame in frames:
                if frame.usage is not None and not frame.choices and not wants_usage:
                    continue
                if account.overdrawn:
                    await self._accounts.extend(account)
                yield frame.raw

    async def _frames(
        self, asked: CompletionBody, body: bytes, context: RequestContext, account: Account, permit: Permit
    ) -> AsyncGenerator[Frame]:
        document = orjson.loads(await self._checked(permit.workers, asked, body, context))
        document["stream_options"] = {**(document.get("stream_options") or {}), "include_usage": True}
        account.asked()
        while True:
            permit.sent()
            try:
                async with permit.workers.open("POST", PATH, orjson.dumps(document), context, headers=_JSON) as response:
                    async for frame in relay(permit.workers, response, slow=self._safety.present):
                        permit.first()
                        if (usage := frame.usage) is not None:
                            account.exact(usage)
                        else:
                            account.frame()
                        yield frame
            except AWAY as error:
                if not permit.failed(error):
                    raise
            else:
                permit.finished(account.used[1])
                return

    async def _checked(self, generator: Upstream, asked: CompletionBody, body: bytes, context: RequestContext) -> bytes:
        """`body`, its prompts redacted where the policy says so; raises Blocked."""
        if not self._safety.present:
            return body
        prompts: list[Any] = [asked.prompt] if isinstance(asked.prompt, str) or isinstance(asked.prompt[0], int) else list(asked.prompt)
        texts = [p if isinstance(p, str) else await self._text(generator, asked.model, p, context) for p in prompts]
        found = await self._safety.prompts(texts, context)
        if found is None:
            return body
        redacted = found.texts
        return orjson.dumps({**orjson.loads(body), "prompt": redacted[0] if len(redacted) == 1 else redacted})

    async def _text(self, generator: Upstream, model: str, ids: list[int], context: RequestContext) -> str:
        raw = await generator.post("/detokenize", orjson.dumps({"model": model, "tokens": ids}), context)
        return str(orjson.loads(raw)["prompt"])


async def _ask(permit: Permit, body: bytes, context: RequestContext) -> bytes:
    """The whole answer of the pool, or of the one that takes its place."""
    while True:
        permit.sent()
        try:
            raw = await permit.workers.post(PATH, body, context)
        except AWAY as error:
            if not permit.failed(error):
                raise
        else:
            permit.finished(0)
            return raw


def _present(permit: Permit | None, accounts: Accounts, account: Account) -> Permit:
    if permit is None:
        accounts.close_behind(account)
        raise errors.Overloaded("This installation has no generator.", code="generator_unavailable")
    return permit


def _estimate(asked: CompletionBody) -> Estimate:
    if isinstance(asked.prompt, str):
        prompt, count = tokens_of(len(asked.prompt)), 1
    else:
        items: list[Any] = list(asked.prompt)
        single = isinstance(items[0], int)
        prompt = len(items) if single else sum(tokens_of(len(item)) if isinstance(item, str) else len(item) for item in items)
        count = 1 if single else len(items)
    answer = 16 if asked.max_tokens is None else asked.max_tokens
    return Estimate(prompt, min(answer, ASSUMED_ANSWER_TOKENS) * asked.n * count, asked.stream)
