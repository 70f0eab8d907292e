"""The contract between the service and whatever library runs the model: four verbs over token ids.

It knows tokens, sampling, deltas and load. It refuses to know HTTP, dialects, chat templates and any concrete engine.
"""

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Literal, Protocol

FinishReason = Literal["stop", "length"]
ConstraintKind = Literal["json_schema", "regex", "lark"]


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is drawn. Temperature 0 is greedy. `top_k` 0 means all, `min_p` is relative to the likeliest token.

    `seeded`: the caller chose the seed and may expect the same answer again.
    Presence and frequency penalties count generated tokens (OpenAI); the repetition penalty counts the prompt's as well (Keskar et al. 2019, CTRL).
    """

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    logit_bias: tuple[tuple[int, float], ...] = ()
    seed: int | None = None
    seeded: bool = True

    @property
    def plain_greedy(self) -> bool:
        """Whether the next token is the likeliest one of the model's own logits, so that an argmax over them is all there is to do."""
        return (
            self.temperature == 0.0
            and not self.logit_bias
            and self.presence_penalty == 0.0
            and self.frequency_penalty == 0.0
            and self.repetition_penalty == 1.0
        )


@dataclass(frozen=True, slots=True)
class Constraint:
    """A language that the output must belong to: a JSON schema, a regular expression or a Lark grammar, as text."""

    kind: ConstraintKind
    text: str


@dataclass(frozen=True, slots=True)
class GenerateRequest:
    """One sequence to generate. `logprobs`: None, or how many alternatives to report beside each token; `prompt_logprobs` likewise for the prompt.

    `tenant` salts the prefix cache. `priority`: lower is sooner. `deadline` is on `time.monotonic()`'s clock. `stream`: somebody reads along, and likes words that
    come evenly.
    """

    id: str
    prompt: tuple[int, ...]
    max_tokens: int
    sampling: Sampling = field(default_factory=Sampling)
    stops: tuple[str, ...] = ()
    logprobs: int | None = None
    prompt_logprobs: int | None = None
    constraint: Constraint | None = None
    tenant: str = "local"
    priority: int = 0
    deadline: float | None = None
    adapter: str | None = None
    stream: bool = False


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """Natural-log probability of `token` under the model's own distribution, before temperature and masks; `top` holds the likeliest, best first."""

    token: int
    logprob: float
    top: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Counts:
    """Exact token counts of a finished sequence. `cached`: prompt tokens that needed no prefill. `drafted` and `accepted`: speculation."""

    prompt: int
    completion: int
    cached: int = 0
    drafted: int = 0
    accepted: int = 0


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds from arrival to the first prefill row, and from there to the first token."""

    queue_seconds: float = 0.0
    prefill_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Delta:
    """What a sequence gained: `tokens`, and `text`, which lags behind them while it may still become a stop string or a cut character.

    The last delta carries `finish`, `counts` and `timing`. The first carries `prompt_logprobs` (None for the first token) when they were asked for.
    `places`: how many tokens the step could have brought; where that is more than one, a stream's delta carries `pieces`, the text of each token.
    """

    text: str = ""
    tokens: tuple[int, ...] = ()
    logprobs: tuple[TokenLogprob, ...] = ()
    finish: FinishReason | None = None
    counts: Counts | None = None
    timing: Timing | None = None
    prompt_logprobs: tuple[TokenLogprob | None, ...] | None = None
    places: int = 1
    pieces: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EngineLoad:
    """What routers and autoscalers read. `kv_use` in [0, 1] counts what running sequences hold; `kept_bytes` is the state of idle
    sessions, held outside the KV cache; `problem` says why nothing can be served, or None. `drafted` and `accepted`: speculation since the
    start, of engines that cannot tell it apart by sequence; the others say it with each sequence's counts."""

    running: int = 0
    waiting: int = 0
    kv_use: float = 0.0
    problem: str | None = None
    kept_bytes: int = 0
    drafted: int = 0
    accepted: int = 0


class Generates(Protocol):
    """Whatever answers a request with deltas."""

    def generate(self, request: GenerateRequest) -> AsyncGenerator[Delta]:
        """The deltas of one sequence; closing the iterator frees the sequence. Raises errors of the platform's tree, before the first delta where it can."""
        ...


class Engine(Generates, Protocol):
    """One loaded model flavor. The rest of the service does not know which library runs it."""

    async def start(self) -> None:
        """Load and become able to generate; raises StartRefused with the cause."""
        ...

    def load(self) -> EngineLoad:
        """What runs now; cheap, callable at any time."""
        ...

    async def aclose(self) -> None:
        """End every sequence and free the model."""
        ...
