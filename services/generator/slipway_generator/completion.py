"""Plain completions (`POST /v1/completions`) and tokenize: the requests with every bound.

The shapes are OpenAI's legacy completions as evaluation harnesses use them (echo with logprobs), and vLLM's tokenize. It refuses to know engines.
"""

from typing import Annotated

from pydantic import Field, field_validator, model_validator
from slipway_shared.dialect.chat import MAX_MESSAGES, MAX_STOPS, MAX_TEXT, Message, StreamOptions, Wire

TokenId = Annotated[int, Field(ge=0, lt=1 << 53)]
Ids = Annotated[list[TokenId], Field(min_length=1, max_length=1 << 20)]
Text = Annotated[str, Field(max_length=MAX_TEXT)]
MAX_PROMPTS = 64


class CompletionRequest(Wire):
    """`prompt`: a text, token ids, or up to 64 of either."""

    model: Annotated[str, Field(min_length=1, max_length=128)]
    prompt: (
        Text
        | Ids
        | Annotated[list[Text], Field(min_length=1, max_length=MAX_PROMPTS)]
        | Annotated[list[Ids], Field(min_length=1, max_length=MAX_PROMPTS)]
    )
    stream: bool = False
    stream_options: StreamOptions | None = None
    max_tokens: Annotated[int, Field(ge=0, le=1 << 17)] | None = 16
    temperature: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] | None = None
    top_k: Annotated[int, Field(ge=0, le=1000)] | None = None
    min_p: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None
    presence_penalty: Annotated[float, Field(ge=-2, le=2, allow_inf_nan=False)] | None = None
    frequency_penalty: Annotated[float, Field(ge=-2, le=2, allow_inf_nan=False)] | None = None
    repetition_penalty: Annotated[float, Field(gt=0, le=2, allow_inf_nan=False)] | None = None
    logit_bias: Annotated[dict[str, Annotated[float, Field(ge=-100, le=100, allow_inf_nan=False)]], Field(max_length=1024)] | None = None
    seed: Annotated[int, Field(ge=-(1 << 63), lt=1 << 63)] | None = None
    n: Annotated[int, Field(ge=1, le=8)] = 1
    best_of: Annotated[int, Field(ge=1, le=1)] | None = None
    stop: (
        Annotated[str, Field(min_length=1, max_length=256)]
        | Annotated[list[Annotated[str, Field(min_length=1, max_length=256)]], Field(max_length=MAX_STOPS)]
        | None
    ) = None
    logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    echo: bool = False
    priority: Annotated[int, Field(ge=-100, le=100)] = 0
    user: Annotated[str, Field(max_length=512)] | None = None

    @field_validator("logit_bias")
    @classmethod
    def _token_ids(cls, value: dict[str, float] | None) -> dict[str, float] | None:
        if value is not None and not all(key.isascii() and key.isdigit() and len(key) < 9 for key in value):
            raise ValueError("keys are token ids")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> "CompletionRequest":
        if self.stream_options is not None and not self.stream:
            raise ValueError("stream_options is only allowed when stream is true")
        if self.max_tokens == 0 and not (self.echo and self.logprobs is not None):
            raise ValueError("max_tokens 0 only makes sense with echo and logprobs")
        if self.stream and self.echo and self.logprobs is not None:
            raise ValueError("echo with logprobs is not streamed")
        return self

    @property
    def stops(self) -> list[str]:
        """Stop strings as a list."""
        return [self.stop] if isinstance(self.stop, str) else list(self.stop or ())

    @property
    def prompts(self) -> list[str | list[int]]:
        """Every prompt of the request."""
        if isinstance(self.prompt, str):
            return [self.prompt]
        texts = [item for item in self.prompt if isinstance(item, str)]
        lists = [list(item) for item in self.prompt if isinstance(item, list)]
        ids = [item for item in self.prompt if isinstance(item, int)]
        return [ids] if ids else [*texts, *lists]


class TokenizeRequest(Wire):
    """`POST /tokenize`: a text, or a conversation as the chat route would show it to the model. `special`: the text is the spelling of one special token."""

    model: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    prompt: Text | None = None
    messages: Annotated[list[Message], Field(min_length=1, max_length=MAX_MESSAGES)] | None = None
    special: bool = False

    @model_validator(mode="after")
    def _one(self) -> "TokenizeRequest":
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("give either prompt or messages")
        return self


class DetokenizeRequest(Wire):
    """`POST /detokenize`."""

    model: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    tokens: Annotated[list[TokenId], Field(max_length=1 << 20)]
