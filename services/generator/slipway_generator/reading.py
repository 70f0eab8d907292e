"""What generated text means in the dialect: content, or tool calls. Streamed parts joined are always the whole message.

It refuses to know tokens and frames.
"""

from typing import Any, Protocol

from slipway_generator.engine import FinishReason


class Reading(Protocol):
    """One answer as it is being read."""

    def feed(self, text: str) -> list[dict[str, Any]]:
        """The `delta` objects that `text` adds."""
        ...

    def finish(self, reason: FinishReason) -> list[dict[str, Any]]:
        """The `delta` objects that the end adds; raises Internal when a constrained answer is not what it had to be."""
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
