"""One request's account: what was estimated at the door, what was used in the end, and what it costs.

It knows tokens and prices. It refuses to know the model's tokenizer: the exact count comes from the generator, and only until then an estimate is used.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from prometheus_client import Counter
from pydantic import BaseModel, ConfigDict, Field
from slipway_shared.dialect.chat import ChatRequest
from slipway_shared.metrics import Metrics

from slipway_gateway.buckets import Use
from slipway_gateway.keys import Key
from slipway_gateway.limiter import Grant, Limiter

CHARS_PER_TOKEN = 4
"""A rule of thumb for English; settling corrects it."""
ASSUMED_ANSWER_TOKENS = 256
"""For requests that do not bound their answer."""


class Price(BaseModel):
    """US dollars for a million tokens."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input: float = Field(ge=0, le=1e6)
    output: float = Field(ge=0, le=1e6)


class Estimate(NamedTuple):
    """What a request may take, in tokens, before anybody counted them."""

    prompt: int
    answer: int = 0
    stream: bool = False


def tokens_of(chars: int) -> int:
    """About how many tokens `chars` characters are."""
    return chars // CHARS_PER_TOKEN + 1


def estimate_chat(asked: ChatRequest) -> Estimate:
    """The estimate for a conversation."""
    answer = (asked.token_limit or ASSUMED_ANSWER_TOKENS) * asked.n
    return Estimate(tokens_of(sum(len(message.text) for message in asked.messages)), answer, asked.stream)


class Account:
    """Filled while the answer passes by, and settled once, whatever happened."""

    def __init__(self, model: str, prompt_tokens: int) -> None:
        self.model = model
        self.grant: Grant | None = None
        self._prompt = prompt_tokens
        self._frames = 0
        self.granted_answer = 0
        self._usage: dict[str, Any] | None = None
        self._asked = False
        self.release: Callable[[], None] | None = None
        """Called once when the account closes: what else the request holds is given back."""

    def asked(self) -> None:
        """A model was asked: from here on tokens are spent."""
        self._asked = True

    def frame(self) -> None:
        """One more piece of text came: about one token."""
        self._frames += 1

    def frames(self, count: int) -> None:
        """As many more."""
        self._frames += count

    @property
    def room(self) -> int:
        """How many more pieces fit into what was reserved."""
        return self.granted_answer - self._frames

    @property
    def overdrawn(self) -> bool:
        """Whether more came than was reserved."""
        return self._frames > self.granted_answer

    def exact(self, usage: dict[str, Any]) -> None:
        """The generator's own count."""
        self._usage = usage

    @property
    def used(self) -> tuple[int, int]:
        """Prompt and completion tokens: exact where the generator told them, else what is known of them; zero when no model was asked."""
        if self._usage is not None:
            return int(self._usage.get("prompt_tokens") or 0), int(self._usage.get("completion_tokens") or 0)
        return (self._prompt, self._frames) if self._asked else (0, 0)


class Accounts:
    """Opens and closes accounts. `prices` are by model name; a flavor without one of its own has its model's."""

    def __init__(self, limiter: Limiter, prices: dict[str, Price], metrics: Metrics) -> None:
        self._limiter = limiter
        self._prices = prices
        self._counters: dict[str, tuple[Counter, Counter]] = {}
        self._metrics = metrics

    async def open(self, key: Key, request_id: str, model: str, estimate: Estimate) -> Account:
        """Reserves `estimate`; raises LimitReached."""
        account = Account(model, estimate.prompt)
        cost = self._micros(model, estimate.prompt, estimate.answer)
        account.grant = await self._limiter.reserve(key, request_id, Use(1, estimate.prompt + estimate.answer, cost, estimate.stream))
        account.granted_answer = estimate.answer
        return account

    async def extend(self, account: Account) -> None:
        """Reserves more for an answer that outgrew its estimate; raises LimitReached, which ends its stream."""
        assert account.grant is not None
        more = Use(0, ASSUMED_ANSWER_TOKENS, self._micros(account.model, 0, ASSUMED_ANSWER_TOKENS))
        account.grant = await self._limiter.extend(account.grant, more)
        account.granted_answer += ASSUMED_ANSWER_TOKENS

    async def close(self, account: Account) -> dict[str, str]:
        """Settles; the headers that are true now."""
        prompt, completion = self._count(account)
        assert account.grant is not None
        return await self._limiter.settle(account.grant, tokens=prompt + completion, micros=self._micros(account.model, prompt, completion))

    def close_behind(self, account: Account) -> None:
        """Settles without waiting."""
        prompt, completion = self._count(account)
        assert account.grant is not None
        self._limiter.settle_behind(account.grant, tokens=prompt + completion, micros=self._micros(account.model, prompt, completion))

    def _count(self, account: Account) -> tuple[int, int]:
        if account.release is not None:
            account.release()
            account.release = None
        prompt, completion = account.used
        counters = self._counters.get(account.model)
        if counters is None:
            into, out = (self._metrics.counter("slipway_tokens", model=account.model, direction=way) for way in ("input", "output"))
            counters = self._counters[account.model] = into, out
        counters[0].inc(prompt)
        counters[1].inc(completion)
        return prompt, completion

    def priced(self, model: str) -> str | None:
        """The name under which `model` has a price."""
        return next((name for name in (model, model.partition(":")[0]) if name in self._prices), None)

    def _micros(self, model: str, prompt: int, completion: int) -> float:
        price = self._prices.get(model) or self._prices.get(model.partition(":")[0])
        return prompt * price.input + completion * price.output if price else 0
