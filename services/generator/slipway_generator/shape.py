"""What a chat request demands of the answer's form: nothing, JSON, a schema, or tool calls; and who reads the answer accordingly.

It refuses to know engines and frames.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from slipway_shared import errors
from slipway_shared.dialect.chat import ChatRequest, Message, ResponseFormat, StructuredOutputs

from slipway_generator.engine import Constraint
from slipway_generator.reading import ChoiceReading, PlainReading, Reading, SchemaReading
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
    if body.structured_outputs is not None:
        return _extra(body.structured_outputs, body)
    schema = _answer_schema(body.response_format)
    text = None if schema is None else bounded(schema, "response_format.json_schema.schema")
    plan = plan_tools(body.tools, _choice(body), parallel=body.parallel_tool_calls is not False, answer=schema)
    if plan is not None:
        return Shape(lambda: ToolReading(plan.schemas, schema), plan.constraint, plan.shown)
    if schema is None or text is None:
        return Shape()
    return Shape(lambda: SchemaReading(schema), Constraint("json_schema", text))


def _answer_schema(wanted: ResponseFormat | None) -> dict[str, Any] | None:
    """The schema of the answer, or None for free text."""
    if wanted is None or wanted.type == "text":
        return None
    if wanted.json_schema is None:
        return {"type": "object"}
    if wanted.json_schema.strict:
        require_strict(wanted.json_schema.schema_, "response_format.json_schema.schema")
    return wanted.json_schema.schema_


def _extra(wanted: StructuredOutputs, body: ChatRequest) -> Shape:
    """vLLM's extra field: one language for the answer. Like there, it stands alone."""
    if body.response_format is not None or (body.tools and body.tool_choice != "none"):
        raise errors.BadRequest(
            "structured_outputs stands alone; leave response_format and tools out.",
            param="structured_outputs",
            code="unsupported_parameter",
        )
    if wanted.choice is not None:
        choices = wanted.choice
        return Shape(lambda: ChoiceReading(choices), Constraint("regex", "|".join(re.escape(one) for one in choices)))
    if wanted.regex is not None:
        return Shape(constraint=Constraint("regex", wanted.regex))
    if wanted.grammar is not None:
        return Shape(constraint=Constraint("lark", wanted.grammar))
    schema: dict[str, Any] = {"type": "object"} if wanted.json_ is None else wanted.json_
    return Shape(lambda: SchemaReading(schema), Constraint("json_schema", bounded(schema, "structured_outputs.json")))


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
