"""One chat request on its way, and the body that the generator gets for it.

It knows what the gateway adds to a request (passages, a token bound, a usage frame) and takes away (`retrieval`, `restore_redacted`). It refuses to send and to judge.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
from slipway_shared.context import RequestContext
from slipway_shared.dialect.chat import ChatRequest, Retrieval
from slipway_shared.grounding import passages_message
from slipway_shared.joining import Outlet

from slipway_gateway.account import Account
from slipway_gateway.catalog import ModelCard
from slipway_gateway.routing import Permit
from slipway_gateway.timing import Stages


@dataclass(frozen=True, slots=True)
class Ask:
    """A validated request with the bytes it came in. `card` is what the catalog says of the model, `permit` the leave to ask a pool (None: there is none)."""

    request: ChatRequest
    body: bytes
    card: ModelCard
    context: RequestContext
    stages: Stages
    account: Account
    permit: Permit | None = None
    hidden: Mapping[str, str] = field(default_factory=dict[str, str])
    """What the safety policy hid of the prompt, by placeholder, where the caller wants it back in the answer."""
    outlet: Outlet | None = None
    """Sends frames that nobody has to look at straight to the caller, after those that were sent before."""

    @property
    def retrieval(self) -> Retrieval | None:
        """What to read before answering: as asked; a reader reads its tenant's default store unless told not to."""
        if self.request.retrieval is False:
            return None
        if self.request.retrieval is None:
            return Retrieval() if self.card.kind == "reader" else None
        return self.request.retrieval

    @property
    def question(self) -> str:
        """The last user message, the query of search and rerank."""
        return next((m.text for m in reversed(self.request.messages) if m.role == "user" and m.text.strip()), "")

    @property
    def wants_usage(self) -> bool:
        """Whether a stream ends with a usage frame."""
        options = self.request.stream_options
        return options is not None and options.include_usage

    def spoken(self) -> list[str]:
        """The texts that the caller brought, in order: what the safety filter reads."""
        return [m.text for m in self.request.messages if m.role != "assistant"]

    def instructed(self) -> frozenset[int]:
        """Which of `spoken()` the application's developer wrote: its system messages."""
        roles = (m.role for m in self.request.messages if m.role != "assistant")
        return frozenset(i for i, role in enumerate(roles) if role in ("system", "developer"))

    def protected(self) -> tuple[str, ...]:
        """The system prompts that an answer must not repeat."""
        system = (m.text[: 1 << 16] for m in self.request.messages if m.role in ("system", "developer"))
        return tuple(text for text in system if text.strip())[:8]

    def redacted(self, texts: list[str], placeholders: Mapping[str, str]) -> "Ask":
        """The same request with `spoken()` replaced by `texts`, in which `placeholders` stand for what was there."""
        document = orjson.loads(self.body)
        remaining = iter(texts)
        for message in document["messages"]:
            if message["role"] != "assistant":
                message["content"] = next(remaining)
        body = orjson.dumps(document)
        hidden = placeholders if self.request.restore_redacted else {}
        return replace(self, body=body, request=ChatRequest.model_validate_json(body), hidden=hidden)


def generator_body(ask: Ask, passages: list[str], reader_tokens: int) -> bytes:
    """What to post to the generator: the caller's own bytes, unless something is to be added."""
    request = ask.request
    adds_usage = request.stream and not ask.wants_usage
    if not passages and not adds_usage and request.retrieval is None and not request.store and not request.restore_redacted:
        return ask.body
    document: dict[str, Any] = orjson.loads(ask.body)
    document.pop("retrieval", None)
    document.pop("restore_redacted", None)
    if adds_usage:
        document["stream_options"] = {**(document.get("stream_options") or {}), "include_usage": True}
    if passages:
        document["messages"] = _with_passages(ask, document["messages"], passages)
        if ask.card.kind == "reader":
            document.setdefault("temperature", 0)
            bound = min(request.token_limit or reader_tokens, reader_tokens)
            document["max_tokens"] = bound
            document.pop("max_completion_tokens", None)
    return orjson.dumps(document)


def _with_passages(ask: Ask, messages: list[dict[str, Any]], passages: list[str]) -> list[dict[str, Any]]:
    told = passages_message(passages, ask.card.kind)
    if ask.card.kind == "reader":
        # A reader was trained on passages and one question, and on nothing else.
        return [{"role": "system", "content": told}, {"role": "user", "content": ask.question}]
    first = ask.request.messages[0]
    if first.role in ("system", "developer"):
        # Most chat templates take one system message, and only at the beginning.
        return [{"role": first.role, "content": f"{first.text}\n\n{told}"}, *messages[1:]]
    return [{"role": "system", "content": told}, *messages]
