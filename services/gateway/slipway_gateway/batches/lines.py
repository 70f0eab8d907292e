"""The lines of a batch: what comes in, checked one by one, and what goes out.

It knows OpenAI's input and output objects. It refuses to know what stands in a line's `body`: the route that answers it validates it.
"""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from slipway_gateway.batches.record import Problem

MAX_PROBLEMS = 1000
"""After so many bad lines, the rest of a file is not looked at."""
LOWEST_PRIORITY = 100
_PRIORITIZED = ("/v1/chat/completions", "/v1/completions")


class Line(BaseModel):
    """One request of a batch."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    custom_id: Annotated[str, Field(min_length=1, max_length=512)]
    method: Literal["POST"]
    url: str
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much a batch may hold."""

    lines: int
    bytes: int
    line_bytes: int


def read(raw: bytes, endpoint: str, bounds: Bounds) -> tuple[list[Line], list[Problem]]:
    """The lines of an input file, and what is wrong with it; numbers count from 1. Blank lines are no lines."""
    lines: list[Line] = []
    problems: list[Problem] = []
    known: set[str] = set()
    for number, text in _numbered(raw):
        if len(lines) + len(problems) >= bounds.lines:
            problems.append(Problem(code="too_many_lines", message=f"A batch holds at most {bounds.lines} lines.", line=number))
            break
        found = _line(number, text, endpoint, known, bounds)
        if isinstance(found, Problem):
            problems.append(found)
            if len(problems) >= MAX_PROBLEMS:
                break
        else:
            lines.append(found)
    if not lines and not problems:
        problems.append(Problem(code="empty_file", message="The input file holds no request."))
    return lines, problems


def _numbered(raw: bytes) -> Iterator[tuple[int, bytes]]:
    for number, text in enumerate(raw.split(b"\n"), 1):
        if text.strip():
            yield number, text


def _line(number: int, text: bytes, endpoint: str, known: set[str], bounds: Bounds) -> Line | Problem:
    def problem(code: str, message: str, param: str | None = None) -> Problem:
        return Problem(code=code, message=message, param=param, line=number)

    if len(text) > bounds.line_bytes:
        return problem("line_too_large", f"A line has at most {bounds.line_bytes} bytes.")
    try:
        line = Line.model_validate(orjson.loads(text))
    except orjson.JSONDecodeError:
        return problem("invalid_json_line", "This line is not valid JSON.")
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or None
        return problem("invalid_request", f"{where or 'The line'}: {first['msg']}.", where)
    if line.url != endpoint:
        return problem("mismatched_endpoint", f"The batch was made for {endpoint}, and so must be every line.", "url")
    if line.custom_id in known:
        return problem("duplicate_custom_id", "An earlier line has the same custom_id.", "custom_id")
    if line.body.get("stream") or line.body.get("background"):
        return problem("invalid_request", "stream and background have no meaning in a batch.", "body")
    known.add(line.custom_id)
    return line


def body_of(line: Line) -> bytes:
    """What is asked for `line`; where the dialect has priorities, behind everybody who waits for an answer."""
    body = {**line.body, "priority": LOWEST_PRIORITY} if line.url in _PRIORITIZED else line.body
    return orjson.dumps(body)


def answered(line: Line, status: int, request_id: str, body: Any) -> bytes:
    """The result of a line that got an answer, good or bad."""
    return _result(line.custom_id, {"status_code": status, "request_id": request_id, "body": body}, None)


def unanswered(custom_id: str | None, code: str, message: str, number: int | None = None) -> bytes:
    """The result of a line that got none, and why."""
    told: dict[str, Any] = {"code": code, "message": message}
    return _result(custom_id, None, told if number is None else {**told, "line": number})


def _result(custom_id: str | None, response: dict[str, Any] | None, error: dict[str, Any] | None) -> bytes:
    document = {"id": f"batch_req_{secrets.token_hex(12)}", "custom_id": custom_id, "response": response, "error": error}
    return orjson.dumps(document) + b"\n"
