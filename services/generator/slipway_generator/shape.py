"""What a chat request demands of the answer's form: nothing, JSON, a schema, or tool calls; and who reads the answer accordingly.

It refuses to know engines and frames.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from slipway_shared import errors
from slipway_shared.dialect.chat import ChatRequest, Message

from slipway_generator.engine import Constraint
from slipway_generator.reading import PlainReading, Reading, SchemaReading
from slipway_generator.schema import bounded, require_strict
from slipway_generator.template import ChatTemplate
from slipway_generator.tools import ToolReading, instruct, plan_tools, with_parsed_arguments


@dataclass(frozen=True, slots=True)
class Shape:
    """`constraint` binds the engine, `tools` are shown to the model, `reading` makes a reader for each answer."""

    reading: Callable[[], Reading] = PlainReading
    constraint: Constraint | None = None
    tools: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])


def shape_of(body: ChatRequest) -> Shape:
    """The form that `body` demands; BadRequest when it cannot be enforced."""
    plan = plan_tools(body.tools, _choice(body), parallel=body.parallel_tool_calls is not False)
    wanted = body.response_format
    if plan is not None:
        if wanted is not None and wanted.type != "text":
            raise errors.BadRequest(
                "response_format and tools cannot be combined; set tool_choice to none, or leave response_format out.",
                param="response_format",
                code="unsupported_parameter",
            )
        return Shape(lambda: ToolReading(plan.schemas), plan.constraint, plan.shown)
    if wanted is None or wanted.type == "text":
        return Shape()
    schema: dict[str, Any] = {"type": "object"}
    if wanted.json_schema is not None:
        schema = wanted.json_schema.schema_
    text = bounded(schema, "response_format.json_schema.schema")
    if wanted.json_schema is not None and wanted.json_schema.strict:
        require_strict(schema, "response_format.json_schema.schema")
    return Shape(lambda: SchemaReading(schema), Constraint("json_schema", text))


def messages_for(template: ChatTemplate, messages: list[Message], shape: Shape) -> list[dict[str, Any]]:
    """The conversation as this template wants it: content is a string, roles are known ones, tools shown by the template or, where it cannot, by us."""
    seen = [as_template_sees(message) for message in messages]
    if template.knows_tools:
        return [with_parsed_arguments(message, one) for message, one in zip(messages, seen, strict=True)]
    if shape.tools or any(message.tool_calls or message.role == "tool" for message in messages):
        return instruct(seen, shape.tools)
    return seen


def as_template_sees(message: Message) -> dict[str, Any]:
    """A message in the shape that published chat templates expect."""
    seen: dict[str, Any] = {"role": "system" if message.role == "developer" else message.role, "content": message.text}
    if message.name:
        seen["name"] = message.name
    if message.tool_calls:
        seen["tool_calls"] = [call.model_dump() for call in message.tool_calls]
    if message.tool_call_id:
        seen["tool_call_id"] = message.tool_call_id
    return seen


def _choice(body: ChatRequest) -> Any:
    return body.tool_choice if body.tool_choice is not None else "auto"
