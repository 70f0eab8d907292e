"""Chat completions: the request with every bound, and the answer's shapes.

It knows OpenAI's fields and our three additions (`retrieval`, `priority`, sampling fields that llama.cpp and vLLM share). What is not declared is refused
by name, never ignored. It refuses to know engines and templates.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

MAX_MESSAGES = 1024
MAX_TEXT = 1 << 20
MAX_STOPS = 16


class Wire(BaseModel):
    """A shape that comes from outside: unknown fields are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class TextPart(Wire):
    type: Literal["text"]
    text: Annotated[str, Field(max_length=MAX_TEXT)]


class FunctionCall(Wire):
    name: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.-]+$")]
    arguments: Annotated[str, Field(max_length=MAX_TEXT)] = "{}"


class ToolCall(Wire):
    id: Annotated[str, Field(max_length=128)]
    type: Literal["function"] = "function"
    function: FunctionCall


class Message(Wire):
    """One turn. `content` may be text, text parts, or null beside tool calls."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Annotated[str, Field(max_length=MAX_TEXT)] | Annotated[list[TextPart], Field(max_length=256)] | None = None
    name: Annotated[str, Field(max_length=64)] | None = None
    tool_calls: Annotated[list[ToolCall], Field(max_length=128)] | None = None
    tool_call_id: Annotated[str, Field(max_length=128)] | None = None
    refusal: str | None = None
    annotations: list[dict[str, Any]] | None = Field(
        default=None, description="what an earlier answer of ours carried; accepted so that histories can be sent back"
    )

    @property
    def text(self) -> str:
        """The content as one string."""
        if self.content is None:
            return ""
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)


class FunctionDefinition(Wire):
    name: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.-]+$")]
    description: Annotated[str, Field(max_length=16384)] | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(Wire):
    type: Literal["function"]
    function: FunctionDefinition


class NamedFunction(Wire):
    name: Annotated[str, Field(min_length=1, max_length=64)]


class NamedTool(Wire):
    type: Literal["function"]
    function: NamedFunction


class JsonSchemaFormat(Wire):
    name: Annotated[str, Field(min_length=1, max_length=64)]
    description: str | None = None
    schema_: dict[str, Any] = Field(alias="schema")
    strict: bool | None = None


class ResponseFormat(Wire):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchemaFormat | None = None

    @model_validator(mode="after")
    def _schema_given(self) -> "ResponseFormat":
        if (self.type == "json_schema") != (self.json_schema is not None):
            raise ValueError("json_schema belongs to type json_schema, and only to it")
        return self


class StructuredOutputs(Wire):
    """vLLM's field of that name: exactly one language that the answer belongs to. `grammar` is Lark, as llguidance reads it."""

    json_: dict[str, Any] | None = Field(default=None, alias="json")
    regex: Annotated[str, Field(min_length=1, max_length=4096)] | None = None
    choice: Annotated[list[Annotated[str, Field(min_length=1, max_length=1024)]], Field(min_length=1, max_length=256)] | None = None
    grammar: Annotated[str, Field(min_length=1, max_length=1 << 16)] | None = None
    json_object: Literal[True] | None = None

    @model_validator(mode="after")
    def _one(self) -> "StructuredOutputs":
        given = [one for one in (self.json_, self.regex, self.choice, self.grammar, self.json_object) if one is not None]
        if len(given) != 1:
            raise ValueError("exactly one of json, regex, choice, grammar and json_object belongs here")
        return self


class StreamOptions(Wire):
    include_usage: bool = False
    include_obfuscation: bool | None = None


class Retrieval(Wire):
    """Our addition: which stores to read before answering."""

    vector_store_ids: Annotated[list[Annotated[str, Field(min_length=1, max_length=64)]], Field(max_length=16)] | None = Field(
        default=None, description="none: the tenant's default store"
    )
    top_k: Annotated[int, Field(ge=1, le=50)] = 5
    mode: Literal["hybrid", "dense", "bm25"] = "hybrid"
    min_score: Annotated[float, Field(ge=0, le=1)] | None = Field(
        default=None, description="evidence under which the answer is a typed abstention"
    )
    filters: dict[str, Any] | None = None


class ChatRequest(Wire):
    """`POST /v1/chat/completions`."""

    model: Annotated[str, Field(min_length=1, max_length=128)]
    messages: Annotated[list[Message], Field(min_length=1, max_length=MAX_MESSAGES)]
    stream: bool = False
    stream_options: StreamOptions | None = None
    max_tokens: Annotated[int, Field(ge=1, le=1 << 17)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1, le=1 << 17)] | None = None
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
    stop: (
        Annotated[str, Field(min_length=1, max_length=256)]
        | Annotated[list[Annotated[str, Field(min_length=1, max_length=256)]], Field(max_length=MAX_STOPS)]
        | None
    ) = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    response_format: ResponseFormat | None = None
    structured_outputs: StructuredOutputs | None = Field(default=None, description="vLLM's extra: json, regex, choice or grammar")
    tools: Annotated[list[Tool], Field(max_length=128)] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedTool | None = None
    parallel_tool_calls: bool | None = None
    retrieval: Retrieval | Literal[False] | None = None
    restore_redacted: bool = Field(
        default=False, description="what the safety policy hides of the prompt stands in the answer again; the model does not see it"
    )
    priority: Annotated[int, Field(ge=-100, le=100, description="lower is sooner")] = 0
    # Accepted because the SDKs send them; they change nothing here.
    user: Annotated[str, Field(max_length=512)] | None = None
    store: bool | None = None
    metadata: Annotated[dict[str, str], Field(max_length=16)] | None = None
    service_tier: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None

    @field_validator("logit_bias")
    @classmethod
    def _token_ids(cls, value: dict[str, float] | None) -> dict[str, float] | None:
        if value is not None and not all(key.isascii() and key.isdigit() and len(key) < 9 for key in value):
            raise ValueError("keys are token ids")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> "ChatRequest":
        if self.stream_options is not None and not self.stream:
            raise ValueError("stream_options is only allowed when stream is true")
        if self.top_logprobs is not None and not self.logprobs:
            raise ValueError("top_logprobs needs logprobs to be true")
        if not any(message.text.strip() or message.tool_calls for message in self.messages):
            raise ValueError("messages hold no text")
        if self.tool_choice not in (None, "none", "auto") and not self.tools:
            raise ValueError("tool_choice needs tools")
        return self

    @property
    def token_limit(self) -> int | None:
        """The caller's bound on generated tokens, under either of its names."""
        return self.max_completion_tokens if self.max_completion_tokens is not None else self.max_tokens

    @property
    def stops(self) -> list[str]:
        """Stop strings as a list."""
        return [self.stop] if isinstance(self.stop, str) else list(self.stop or ())


class PromptTokensDetails(BaseModel):
    cached_tokens: int = 0


class Usage(BaseModel):
    """Exact counts by the model's own tokenizer."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokensDetails = Field(default_factory=PromptTokensDetails)


class AnswerMessage(BaseModel):
    role: Literal["assistant"] = "assistant"
    content: str | None = None
    refusal: str | None = None
    tool_calls: list[ToolCall] | None = None
    annotations: list[dict[str, Any]] = Field(default_factory=list)


class Choice(BaseModel):
    index: int
    message: AnswerMessage
    logprobs: dict[str, Any] | None = None
    finish_reason: Literal["stop", "length", "tool_calls", "content_filter"]


class ChatCompletion(BaseModel):
    """The non-streamed answer."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[Choice]
    usage: Usage
    system_fingerprint: str | None = None
