"""The request of `POST /v1/responses`, with every bound, and the chat request that it means.

It knows OpenAI's items and tools as far as we serve them; what is not declared is refused by name. It refuses to answer.
"""

from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field
from slipway_shared import errors
from slipway_shared.dialect.chat import MAX_TEXT, Wire

Text = Annotated[str, Field(max_length=MAX_TEXT)]
Id = Annotated[str, Field(min_length=1, max_length=128)]


class TextPart(BaseModel):
    """A piece of text. Answers of ours carry annotations and log-probabilities, which may be sent back and are not read."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    type: Literal["input_text", "output_text", "text"]
    text: Text


class RefusalPart(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    type: Literal["refusal"]
    refusal: Text


class MessageItem(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    type: Literal["message"] = "message"
    role: Literal["user", "assistant", "system", "developer"]
    content: Text | Annotated[list[TextPart | RefusalPart], Field(max_length=256)]


class FunctionCallItem(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    type: Literal["function_call"]
    call_id: Id
    name: Annotated[str, Field(min_length=1, max_length=64)]
    arguments: Text


class FunctionOutputItem(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    type: Literal["function_call_output"]
    call_id: Id
    output: Text


class FileSearchItem(BaseModel):
    """An earlier search of ours; it says nothing to the model."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    type: Literal["file_search_call"]


Item = MessageItem | FunctionCallItem | FunctionOutputItem | FileSearchItem


class FunctionTool(Wire):
    type: Literal["function"]
    name: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.-]+$")]
    description: Annotated[str, Field(max_length=16384)] | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class RankingOptions(Wire):
    ranker: str | None = None
    score_threshold: Annotated[float, Field(ge=0, le=1)] | None = None


class FileSearchTool(Wire):
    type: Literal["file_search"]
    vector_store_ids: Annotated[list[Annotated[str, Field(min_length=1, max_length=64)]], Field(min_length=1, max_length=16)]
    max_num_results: Annotated[int, Field(ge=1, le=50)] = 5
    ranking_options: RankingOptions | None = None
    filters: dict[str, Any] | None = None


class NamedTool(Wire):
    type: Literal["function"]
    name: Id


class FileSearchChoice(Wire):
    type: Literal["file_search"]


class TextFormat(Wire):
    type: Literal["text", "json_object", "json_schema"] = "text"
    name: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    description: str | None = None
    schema_: dict[str, Any] | None = Field(default=None, alias="schema")
    strict: bool | None = None


class TextConfig(Wire):
    format: TextFormat | None = None
    verbosity: str | None = None


class ResponsesRequest(Wire):
    """`POST /v1/responses`."""

    model: Annotated[str, Field(min_length=1, max_length=128)]
    input: Text | Annotated[list[Item], Field(min_length=1, max_length=512)]
    instructions: Text | None = None
    previous_response_id: Annotated[str, Field(pattern=r"^resp_[0-9a-f]{32}$")] | None = None
    stream: bool = False
    store: bool = True
    background: bool = False
    max_output_tokens: Annotated[int, Field(ge=1, le=1 << 17)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    tools: Annotated[tuple[FunctionTool | FileSearchTool, ...], Field(max_length=128)] = ()
    tool_choice: Literal["none", "auto", "required"] | NamedTool | FileSearchChoice = "auto"
    parallel_tool_calls: bool = True
    text: TextConfig | None = None
    truncation: Literal["auto", "disabled"] = "disabled"
    metadata: Annotated[dict[str, str], Field(max_length=16)] | None = None
    include: Annotated[list[Literal["file_search_call.results", "message.output_text.logprobs"]], Field(max_length=8)] | None = None
    restore_redacted: bool = Field(default=False, description="as for chat completions")
    # Accepted because the SDKs send them; they change nothing here.
    user: Annotated[str, Field(max_length=512)] | None = None
    service_tier: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None

    @property
    def file_search(self) -> FileSearchTool | None:
        """The tool that makes this request read files."""
        return next((tool for tool in self.tools if isinstance(tool, FileSearchTool)), None)


def to_chat(asked: ResponsesRequest, history: list[dict[str, Any]]) -> tuple[bytes, list[dict[str, Any]]]:
    """The chat request that `asked` means after `history`, as bytes, and its messages without the instructions, to be remembered."""
    said = history + _messages(asked.input)
    instructions = [{"role": "system", "content": asked.instructions}] if asked.instructions else []
    body: dict[str, Any] = {"model": asked.model, "messages": instructions + said, "stream": asked.stream, **_options(asked)}
    if asked.stream:
        body["stream_options"] = {"include_usage": True}
    if asked.restore_redacted:
        body["restore_redacted"] = True
    if (search := asked.file_search) is not None:
        threshold = search.ranking_options.score_threshold if search.ranking_options else None
        body["retrieval"] = {
            "vector_store_ids": search.vector_store_ids,
            "top_k": search.max_num_results,
            "filters": search.filters,
            "min_score": threshold,
        }
    return orjson.dumps(body), said


def _options(asked: ResponsesRequest) -> dict[str, Any]:
    out: dict[str, Any] = {"max_tokens": asked.max_output_tokens, "temperature": asked.temperature, "top_p": asked.top_p}
    if asked.top_logprobs is not None:
        out |= {"logprobs": True, "top_logprobs": asked.top_logprobs}
    functions = [tool for tool in asked.tools if isinstance(tool, FunctionTool)]
    if functions:
        out["tools"] = [{"type": "function", "function": tool.model_dump(exclude={"type"}, exclude_none=True)} for tool in functions]
        out["parallel_tool_calls"] = asked.parallel_tool_calls
        if isinstance(asked.tool_choice, NamedTool):
            out["tool_choice"] = {"type": "function", "function": {"name": asked.tool_choice.name}}
        elif isinstance(asked.tool_choice, str):
            out["tool_choice"] = asked.tool_choice
    if asked.text is not None and asked.text.format is not None and asked.text.format.type != "text":
        out["response_format"] = _format(asked.text.format)
    return {name: value for name, value in out.items() if value is not None}


def _format(asked: TextFormat) -> dict[str, Any]:
    if asked.type == "json_object":
        return {"type": "json_object"}
    if asked.schema_ is None or asked.name is None:
        raise errors.BadRequest("text.format of type json_schema needs a name and a schema.", param="text.format")
    return {"type": "json_schema", "json_schema": asked.model_dump(by_alias=True, exclude={"type"}, exclude_none=True)}


def _messages(given: str | list[Item]) -> list[dict[str, Any]]:
    if isinstance(given, str):
        return [{"role": "user", "content": given}]
    out: list[dict[str, Any]] = []
    for item in given:
        match item:
            case MessageItem():
                out.append({"role": item.role, "content": _text(item)})
            case FunctionCallItem():
                call = {"id": item.call_id, "type": "function", "function": {"name": item.name, "arguments": item.arguments}}
                if out and out[-1].get("tool_calls"):
                    out[-1]["tool_calls"].append(call)
                else:
                    out.append({"role": "assistant", "content": None, "tool_calls": [call]})
            case FunctionOutputItem():
                out.append({"role": "tool", "tool_call_id": item.call_id, "content": item.output})
            case FileSearchItem():
                pass
    return out


def _text(item: MessageItem) -> str:
    if isinstance(item.content, str):
        return item.content
    return "".join(part.text if isinstance(part, TextPart) else part.refusal for part in item.content)
