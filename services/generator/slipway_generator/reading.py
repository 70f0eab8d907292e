"""What generated text means in the dialect: content, or tool calls. Streamed parts joined are always the whole message.

It refuses to know tokens and frames.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from slipway_shared import errors

from slipway_generator.engine import FinishReason
from slipway_generator.schema import conforms


class Reading(Protocol):
    """One answer as it is being read."""

    def feed(self, text: str) -> list[dict[str, Any]]:
        """The `delta` objects that `text` adds."""
        ...

    def finish(self, reason: FinishReason) -> list[dict[str, Any]]:
        """The `delta` objects that the end adds; raises UpstreamFailed when a constrained answer is not what it had to be."""
        ...

    def finish_reason(self, reason: FinishReason) -> str:
        """The dialect's name for how the answer ended."""
        ...

    def message(self) -> dict[str, Any]:
        """The whole message."""
        ...


class PlainReading:
    """All text is content."""

    def __init__(self) -> None:
        self._parts: list[str] = []

    def feed(self, text: str) -> list[dict[str, Any]]:
        if not text:
            return []
        self._parts.append(text)
        return [{"content": text}]

    def finish(self, reason: FinishReason) -> list[dict[str, Any]]:
        return []

    def finish_reason(self, reason: FinishReason) -> str:
        return reason

    def message(self) -> dict[str, Any]:
        return {"role": "assistant", "content": "".join(self._parts), "refusal": None, "annotations": []}


class SchemaReading(PlainReading):
    """All text is content, and the content must satisfy a schema."""

    def __init__(self, schema: dict[str, Any]) -> None:
        super().__init__()
        self._schema = schema

    def finish(self, reason: FinishReason) -> list[dict[str, Any]]:
        # An answer that was cut at the limit says so by its finish_reason, as in OpenAI's API.
        if reason == "stop" and not conforms(self._schema, "".join(self._parts)):
            raise errors.UpstreamFailed("The answer does not satisfy the required schema.", code="constraint_failed")
        return []


class ChoiceReading(PlainReading):
    """All text is content, and the content is one of a few answers."""

    def __init__(self, choices: Sequence[str]) -> None:
        super().__init__()
        self._choices = choices

    def finish(self, reason: FinishReason) -> list[dict[str, Any]]:
        if reason == "stop" and "".join(self._parts) not in self._choices:
            raise errors.UpstreamFailed("The answer is none of the choices.", code="constraint_failed")
        return []
