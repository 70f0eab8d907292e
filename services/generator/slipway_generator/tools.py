"""Tool calls: the language that a model must write them in, and how they are read from its text.

A call is written `<tool_call>\\n{"name":"f","arguments":{...}}\\n</tool_call>` (the Hermes convention, which many templates know). The grammar enforces it,
so text that only looks like a call cannot occur. It refuses to know tokens and frames.
"""

import json
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from slipway_shared import errors
from slipway_shared.dialect.chat import Message, NamedTool, Tool

from slipway_generator.engine import Constraint, FinishReason
from slipway_generator.references import moved, refers
from slipway_generator.schema import bounded, conforms, require_strict
from slipway_generator.spelling import overlap

OPEN, CLOSE = "<tool_call>\n", "\n</tool_call>"
MAX_TOOLS_BYTES = 1 << 18
_END = "}" + CLOSE
_HEAD = re.compile(r'\{"name":"([A-Za-z0-9_.-]+)","arguments":')
_PART = re.compile(r"\{(more|bodies|answer)\}")
_FIXED_SPACE = {"x-guidance": {"whitespace_flexible": False}}
_EMPTY: dict[str, Any] = {"type": "object", "properties": {}, "additionalProperties": False}

_CALLS = 'more: "\\n<tool_call>\\n" body "\\n</tool_call>"\nbody: %json {bodies}\n'
_REQUIRED = 'start: "<tool_call>\\n" body "\\n</tool_call>"{more}\n' + _CALLS
_AUTO = (
    'start: ANSWER | opened "\\n" body "\\n</tool_call>"{more}\n'
    'opened[suffix="<tool_call>"]: /(?s:.*)/\n'
    "ANSWER: /(?s:.*)/ & ~/(?s:.*)<tool_call>(?s:.*)/\n"
) + _CALLS
_AUTO_IN_FORM = 'start: answer | "<tool_call>\\n" body "\\n</tool_call>"{more}\nanswer: %json {answer}\n' + _CALLS

INSTRUCTION = (
    "You may call functions. Their signatures, one JSON object a line:\n{signatures}\n"
    'To call one, write only:\n<tool_call>\n{{"name":"...","arguments":{{...}}}}\n</tool_call>'
)


@dataclass(frozen=True, slots=True)
class ToolPlan:
    """What a request's tools ask of the generation."""

    schemas: dict[str, dict[str, Any]]
    constraint: Constraint
    shown: list[dict[str, Any]]


def plan_tools(
    tools: Sequence[Tool] | None, choice: str | NamedTool | None, *, parallel: bool, answer: dict[str, Any] | None = None
) -> ToolPlan | None:
    """The plan, or None when no tool may be called; BadRequest for tools that cannot be enforced.

    `answer`: the (bounded) schema of an answer that calls nothing; None leaves it free.
    """
    if not tools or choice == "none":
        return None
    named = choice.function.name if isinstance(choice, NamedTool) else None
    offered = [tool for tool in tools if named in (None, tool.function.name)]
    if not offered:
        raise errors.BadRequest("tool_choice names a function that tools does not hold.", param="tool_choice")
    schemas: dict[str, dict[str, Any]] = {}
    size = 0
    for at, tool in enumerate(offered):
        if tool.function.name in schemas:
            raise errors.BadRequest("Two tools have one name.", param=f"tools.{at}.function.name")
        schema = tool.function.parameters or _EMPTY
        size += len(bounded(schema, f"tools.{at}.function.parameters"))
        if size > MAX_TOOLS_BYTES:
            raise errors.BadRequest(
                f"The tools' parameters are longer than {MAX_TOOLS_BYTES} characters together.", param="tools", code="schema_too_large"
            )
        if tool.function.strict:
            require_strict(schema, f"tools.{at}.function.parameters")
        schemas[tool.function.name] = schema
    free = _AUTO if answer is None else _AUTO_IN_FORM
    grammar = _REQUIRED if choice == "required" or named else free
    parts = {"more": " more*" if parallel else "", "bodies": _json(_bodies(schemas)), "answer": _json(_in_form(answer))}
    text = _PART.sub(lambda part: parts[part.group(1)], grammar)
    return ToolPlan(schemas, Constraint("lark", text), [tool.model_dump(exclude_none=True) for tool in tools])


def instruct(messages: list[dict[str, Any]], shown: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """For templates that do not know tools: the signatures in the system message, earlier calls and their results as text."""
    if not shown:
        return [_as_text(message) for message in messages]
    signatures = "\n".join(json.dumps(tool["function"], ensure_ascii=False) for tool in shown)
    text = INSTRUCTION.format(signatures=signatures)
    rest = [_as_text(message) for message in messages]
    if rest and rest[0]["role"] == "system":
        return [{**rest[0], "content": f"{rest[0]['content']}\n\n{text}"}, *rest[1:]]
    return [{"role": "system", "content": text}, *rest]


def with_parsed_arguments(message: Message, seen: dict[str, Any]) -> dict[str, Any]:
    """Published templates print `arguments` as JSON, so they want an object where the dialect has a string."""
    if not message.tool_calls:
        return seen
    calls = [
        {"id": call.id, "type": "function", "function": {"name": call.function.name, "arguments": _parsed(call.function.arguments)}}
        for call in message.tool_calls
    ]
    return {**seen, "tool_calls": calls}


@dataclass
class _Call:
    name: str
    arguments: str = ""
    id: str = field(default_factory=lambda: f"call_{secrets.token_hex(12)}")


class ToolReading:
    """Reads content and calls from text as it comes; holds back only what may still become a mark.

    `answer`: the schema that the content must satisfy where nothing is called.
    """

    def __init__(self, schemas: dict[str, dict[str, Any]], answer: dict[str, Any] | None = None) -> None:
        self._schemas = schemas
        self._answer = answer
        self._content: list[str] = []
        self._calls: list[_Call] = []
        self._held = ""
        self._inside = False
        self._named = False

    def feed(self, text: str) -> list[dict[str, Any]]:
        self._held += text
        out: list[dict[str, Any]] = []
        while (part := self._next()) is not None:
            out += part
        return out

    def finish(self, reason: FinishReason) -> list[dict[str, Any]]:
        out: list[dict[str, Any]] = []
        if reason == "stop" and (self._inside or not all(conforms(self._schemas[call.name], call.arguments) for call in self._calls)):
            raise errors.UpstreamFailed("The model's tool call does not satisfy its schema.", code="constraint_failed")
        if self._held.strip("\n") and not self._inside:
            out = self._say(self._held)
        self._held = ""
        if reason == "stop" and self._answer is not None and not self._calls and not conforms(self._answer, "".join(self._content)):
            raise errors.UpstreamFailed("The answer does not satisfy the required schema.", code="constraint_failed")
        return out

    def finish_reason(self, reason: FinishReason) -> str:
        return "tool_calls" if self._calls and reason == "stop" else reason

    def message(self) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": "".join(self._content) or None, "refusal": None, "annotations": []}
        if self._calls:
            message["tool_calls"] = [
                {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}} for call in self._calls
            ]
        return message

    def _next(self) -> list[dict[str, Any]] | None:
        """One step of reading, or None when more text is needed."""
        if not self._inside:
            return self._outside_step()
        if not self._named:
            return self._head_step()
        return self._arguments_step()

    def _outside_step(self) -> list[dict[str, Any]] | None:
        before, mark, after = self._held.partition(OPEN)
        if mark:
            self._held, self._inside, self._named = after, True, False
            return self._say(before) if before.strip("\n") or (not self._calls and before) else []
        free = len(self._held) - overlap(self._held, OPEN)
        if self._calls or free == 0:
            return None  # between calls there are line ends only
        text, self._held = self._held[:free], self._held[free:]
        return self._say(text)

    def _head_step(self) -> list[dict[str, Any]] | None:
        match = _HEAD.match(self._held)
        if match is None:
            return None
        self._held, self._named = self._held[match.end() :], True
        call = _Call(match.group(1))
        self._calls.append(call)
        return [_frame(len(self._calls) - 1, {"name": call.name, "arguments": ""}, call.id)]

    def _arguments_step(self) -> list[dict[str, Any]] | None:
        arguments, mark, after = self._held.partition(_END)
        if mark:
            self._held, self._inside = after, False
        else:
            free = len(self._held) - overlap(self._held, _END)
            arguments, self._held = self._held[:free], self._held[free:]
        if not arguments:
            return [] if mark else None
        self._calls[-1].arguments += arguments
        return [_frame(len(self._calls) - 1, {"arguments": arguments}, None)]

    def _say(self, text: str) -> list[dict[str, Any]]:
        self._content.append(text)
        return [{"content": text}]


def _frame(index: int, function: dict[str, str], call_id: str | None) -> dict[str, Any]:
    head = {"index": index, "id": call_id, "type": "function"} if call_id else {"index": index}
    return {"tool_calls": [{**head, "function": function}]}


def _bodies(schemas: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """One object schema for a call to any of the tools. A schema that refers to its own parts lies whole under `$defs`, its references moved along."""
    variants: list[dict[str, Any]] = []
    kept: dict[str, Any] = {}
    for at, (name, schema) in enumerate(schemas.items()):
        arguments = schema
        if refers(schema):
            kept[f"t{at}"] = moved(schema, f"#/$defs/t{at}")
            arguments = {"$ref": f"#/$defs/t{at}"}
        call = {"name": {"const": name}, "arguments": arguments}
        variants.append({"type": "object", "properties": call, "required": ["name", "arguments"], "additionalProperties": False})
    return {**_FIXED_SPACE, "anyOf": variants, **({"$defs": kept} if kept else {})}


def _in_form(answer: dict[str, Any] | None) -> dict[str, Any]:
    return {**_FIXED_SPACE, **(answer or {})}


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _as_text(message: dict[str, Any]) -> dict[str, Any]:
    if message["role"] == "tool":
        return {"role": "user", "content": f"<tool_response>\n{message['content']}\n</tool_response>"}
    if not message.get("tool_calls"):
        return message
    calls = [call["function"] for call in message["tool_calls"]]
    said = [
        OPEN + json.dumps({"name": c["name"], "arguments": c["arguments"]}, ensure_ascii=False, separators=(",", ":")) + CLOSE
        for c in calls
    ]
    return {"role": "assistant", "content": "\n".join([message["content"], *said] if message["content"] else said)}


def _parsed(arguments: str) -> Any:
    try:
        return json.loads(arguments)
    except (ValueError, RecursionError):
        return arguments
