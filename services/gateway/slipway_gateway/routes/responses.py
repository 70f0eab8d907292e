"""`/v1/responses`: create (whole, streamed, in the background), get, cancel, delete. It translates; the pipeline answers."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Path, Request, Response
from slipway_shared import errors
from slipway_shared.context import RequestContext

from slipway_gateway.account import Accounts
from slipway_gateway.ask import Ask
from slipway_gateway.batches.inside import KEY
from slipway_gateway.batches.lines import LOWEST_PRIORITY
from slipway_gateway.desk import CALLER_GONE, Desk
from slipway_gateway.pipeline import Pipeline
from slipway_gateway.responses.events import Events
from slipway_gateway.responses.output import Document, Head, from_chat, to_history, usage_of
from slipway_gateway.responses.request import ResponsesRequest, to_chat
from slipway_gateway.responses.store import ResponseStore
from slipway_gateway.streaming import EventStream, Gone, unless_gone
from slipway_gateway.surface import described, parse, takes

ResponseId = Annotated[str, Path(pattern=r"^resp_[0-9a-f]{32}$")]
Messages = list[dict[str, Any]]
_LOOK_SECONDS = 0.05
_SIGN_SECONDS = 1.0


def response_routes(desk: Desk, pipeline: Pipeline, accounts: Accounts, store: ResponseStore, background: "Background") -> APIRouter:
    """The routes on `pipeline`."""
    router = APIRouter(tags=["responses"])
    one = "/v1/responses/{response_id}"

    @router.post("/v1/responses", openapi_extra=takes(ResponsesRequest), responses=described(stream=True))
    async def create(request: Request) -> Response:
        """Answer in OpenAI's newer dialect."""
        asked = parse(ResponsesRequest, await request.body())
        if asked.background and (asked.stream or not asked.store):
            raise errors.BadRequest("background needs store, and is not streamed.", param="background")
        tenant = _context(request).tenant
        history = (await _history(store, tenant, asked.previous_response_id)) if asked.previous_response_id else []
        body, messages = to_chat(asked, history)
        if KEY in request.scope:  # a line of a batch; this dialect has no priorities of its own
            body = orjson.dumps({**orjson.loads(body), "priority": LOWEST_PRIORITY})
        ask = await desk.read(request, body)
        head = Head(asked)
        work = _Work(head, ask, messages, pipeline, accounts, store)
        if asked.stream:
            return EventStream(
                work.stream(),
                headers=desk.truth(ask),
                keepalive_seconds=desk.keepalive_seconds,
                ended=lambda: accounts.close_behind(ask.account),
            )
        if asked.background:
            return await background.begin(work)
        try:
            document = await unless_gone(request.receive, work.whole())
        except Gone:
            return Response(status_code=CALLER_GONE)
        return _shown(document, desk.truth(ask)())

    @router.get(one, responses=described())
    async def get(response_id: ResponseId, request: Request) -> Response:
        """A stored response."""
        return _shown((await store.get(_context(request).tenant, response_id))[0])

    @router.delete(one, responses=described())
    async def delete(response_id: ResponseId, request: Request) -> Response:
        """Forget a stored response."""
        await store.delete(_context(request).tenant, response_id)
        return _shown({"id": response_id, "object": "response", "deleted": True})

    @router.post(f"{one}/cancel", responses=described())
    async def cancel(response_id: ResponseId, request: Request) -> Response:
        """Stop a response that runs in the background."""
        return _shown(await background.cancel(store, _context(request).tenant, response_id))

    return router


class _Work:
    """One response being made."""

    def __init__(self, head: Head, ask: Ask, messages: Messages, pipeline: Pipeline, accounts: Accounts, store: ResponseStore) -> None:
        self.head = head
        self.ask = ask
        self._messages = messages
        self._pipeline = pipeline
        self._accounts = accounts
        self._store = store

    async def whole(self) -> Document:
        """The response, stored; the account is settled whatever happens."""
        try:
            chat = orjson.loads(await self._pipeline.complete(self.ask))
        finally:
            self._accounts.close_behind(self.ask.account)
        document = from_chat(self.head, self.ask.question, chat)
        await self.keep(document)
        return document

    async def stream(self) -> AsyncGenerator[bytes]:
        """The response as events, stored at the end."""
        events = Events(self.head, self.ask.question)
        frames = self._pipeline.stream(self.ask)
        async with contextlib.aclosing(frames):
            async for event in events.run(frames):
                if self.ask.account.overdrawn:
                    await self._accounts.extend(self.ask.account)
                yield event
        if events.final is not None:
            await self.keep(events.final)

    async def alive(self) -> bool:
        """Says that this process works on it; whether it shall go on."""
        return await self._store.alive(self.ask.context.tenant, self.head.id)

    async def keep(self, document: Document) -> None:
        """Stores `document` with the conversation up to its end."""
        if self.head.asked.store:
            await self._store.put(self.ask.context.tenant, document, self._messages + to_history(document["output"]))


class Background:
    """Responses that are made while nobody waits. Each lives in the process that began it, and ends with it; all processes can read and cancel it."""

    def __init__(self) -> None:
        self._tasks: dict[tuple[str, str], asyncio.Task[None]] = {}

    async def begin(self, work: _Work) -> Response:
        """Starts `work`; the answer is its state now."""
        queued = work.head.response("in_progress", [])
        await work.alive()
        await work.keep(queued)
        name = (work.ask.context.tenant, work.head.id)
        task = self._tasks[name] = asyncio.create_task(self._run(work))
        task.add_done_callback(lambda _: self._tasks.pop(name, None))
        return _shown(queued)

    async def cancel(self, store: ResponseStore, tenant: str, response_id: str) -> Document:
        """Stops it, here or where it runs, and returns what became of it; raises BadRequest when it does not run."""
        document, _ = await store.get(tenant, response_id)
        if document["status"] != "in_progress":
            raise errors.BadRequest("Only a response that runs in the background can be cancelled.", code="not_running")
        await store.cancel(tenant, response_id)
        if (task := self._tasks.get((tenant, response_id))) is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        # Elsewhere it is heard of at the next sign of life; a process that is gone gives none.
        while True:
            document, _ = await store.get(tenant, response_id)
            if document["status"] != "in_progress":
                return document
            await asyncio.sleep(_LOOK_SECONDS)

    async def aclose(self) -> None:
        """Stops them all."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, work: _Work) -> None:
        making = asyncio.create_task(work.whole())
        watching = asyncio.create_task(self._watch(work, making))
        try:
            await making
        except asyncio.CancelledError:
            making.cancel()
            await asyncio.gather(making, return_exceptions=True)
            await work.keep(work.head.response("cancelled", [], usage_of(None)))
            raise
        except errors.SlipwayError as error:
            told = {"code": error.error_code or "server_error", "message": error.message}
            await work.keep(work.head.response("failed", [], usage_of(None), error=told))
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    async def _watch(self, work: _Work, making: "asyncio.Task[Document]") -> None:
        """Gives signs of life, and hears of a cancellation that another process was asked for."""
        while True:
            with contextlib.suppress(errors.Overloaded):
                if not await work.alive():
                    making.cancel()
            await asyncio.sleep(_SIGN_SECONDS)


async def _history(store: ResponseStore, tenant: str, response_id: str) -> Messages:
    try:
        response, messages = await store.get(tenant, response_id)
    except errors.NotFound:
        raise errors.NotFound("There is no such response.", param="previous_response_id", code="previous_response_not_found") from None
    if response["status"] in ("in_progress", "failed", "cancelled"):
        raise errors.BadRequest(f"The previous response is {response['status']}.", param="previous_response_id")
    return messages


def _context(request: Request) -> RequestContext:
    return request.scope["state"]["context"]


def _shown(document: Document, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(document), media_type="application/json", headers=headers)
