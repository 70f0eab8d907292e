"""What the safety policy hid of a prompt comes back in its answer, where the caller asks for it: the model never sees an address, the caller reads it.

Only the caller's own values of this one request are known here, and they are known nowhere else. It stands after the guard, which sees placeholders.
It refuses to know policies; offsets are characters.
"""

import re
from collections.abc import Mapping
from typing import Any

import orjson
from slipway_shared.dialect import sse

from slipway_gateway.frames import Frame, said
from slipway_gateway.redaction import Hidden, moved
from slipway_gateway.tracks import Where


class Restorer:
    """Puts `values` (by placeholder) into one answer: whole, or as it comes. A placeholder that is cut by frames waits until it is whole."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = dict(values)
        self._pattern = re.compile("|".join(re.escape(name) for name in sorted(values, key=len, reverse=True)))
        self._longest = max(map(len, values))
        self._held: dict[Where, str] = {}
        self._seen: dict[int, int] = {}
        self._spans: dict[int, list[Hidden]] = {}

    def choice(self, choice: dict[str, Any]) -> None:
        """Restores a choice of a whole answer, in place."""
        message: dict[str, Any] = choice["message"]
        if text := message.get("content"):
            message["content"] = restored = self._text((choice.get("index", 0), None), text, final=True)
            if restored != text:
                choice["logprobs"] = None  # they spell the placeholders
        for number, call in enumerate(message.get("tool_calls") or []):
            function: dict[str, Any] = call.get("function") or {}
            if arguments := function.get("arguments"):
                function["arguments"] = self._text((choice.get("index", 0), number), arguments, final=True)
        if message.get("annotations"):
            message["annotations"] = moved(message["annotations"], self._spans.get(choice.get("index", 0), []))

    def frame(self, frame: Frame) -> Frame:
        """The next frame of a stream as its caller reads it."""
        choices = [self._delta(choice) for choice in frame.choices]
        if choices == frame.choices:
            return frame
        return Frame(sse.frame({**(frame.document or {}), "choices": choices}))

    def _delta(self, choice: dict[str, Any]) -> dict[str, Any]:
        index, over = choice.get("index", 0), choice.get("finish_reason") is not None
        delta: dict[str, Any] = dict(choice.get("delta") or {})
        out = {**choice, "delta": delta}
        text = said(choice)
        told = self._text((index, None), text, final=over)
        if told != text:
            out["logprobs"] = None
        if told or "content" in delta:
            delta["content"] = told
        calls = {call.get("index", 0): call for call in delta.get("tool_calls") or []}
        for number in sorted({*calls, *(held[1] for held in self._held if held[0] == index and held[1] is not None and over)}):
            call: dict[str, Any] = calls.get(number, {"index": number})
            function: dict[str, Any] = dict(call.get("function") or {})
            function["arguments"] = self._text((index, number), function.get("arguments") or "", final=over)
            calls[number] = {**call, "function": function}
        if calls:
            delta["tool_calls"] = list(calls.values())
        if delta.get("annotations"):
            delta["annotations"] = moved(delta["annotations"], self._spans.get(index, []))
        return out

    def _text(self, where: Where, text: str, *, final: bool) -> str:
        """What may be told of `text`, after what was held of it."""
        text = self._held.pop(where, "") + text
        if not final and (cut := self._unfinished(text)) < len(text):
            self._held[where] = text[cut:]
            text = text[:cut]
        index, call = where
        if call is None:
            begun = self._seen.get(index, 0)
            self._seen[index] = begun + len(text)
            found = [Hidden(begun + m.start(), begun + m.end(), self._values[m[0]]) for m in self._pattern.finditer(text)]
            if found:
                self._spans.setdefault(index, []).extend(found)
            return self._pattern.sub(lambda match: self._values[match[0]], text)
        # A tool call's arguments are JSON, and a placeholder stands within a string of it.
        return self._pattern.sub(lambda match: orjson.dumps(self._values[match[0]]).decode()[1:-1], text)

    def _unfinished(self, text: str) -> int:
        """From where `text` may be the beginning of a placeholder."""
        for start in range(max(0, len(text) - self._longest + 1), len(text)):
            if any(name.startswith(text[start:]) for name in self._values):
                return start
        return len(text)
