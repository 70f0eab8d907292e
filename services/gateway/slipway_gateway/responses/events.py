"""A chat stream as the events of a response, in order and numbered. It knows no HTTP and no store.

One response is built while its events go out, so that the last event holds exactly what the events before it said.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from typing import Any

import orjson
from slipway_shared import errors

from slipway_gateway.frames import Cutter, Frame
from slipway_gateway.responses.output import Document, Head, call_item, ended, message_item, new_id, search_item, usage_of


class Events:
    """Turns frames into events; afterwards `final` is the response."""

    def __init__(self, head: Head, question: str) -> None:
        self.final: Document | None = None
        self._head = head
        self._question = question
        self._number = 0
        self._output: list[Document] = []
        self._item: Document | None = None  # the item that is being said
        self._usage: Document | None = None
        self._finish: str | None = None

    async def run(self, frames: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
        """The events. A failure before the first frame is raised; after it, the stream ends with `response.failed`."""
        begun, cutter = False, Cutter()
        try:
            async for together in frames:
                if not begun:
                    begun = True
                    for event in self._begin():
                        yield event
                for raw in cutter.feed(together):
                    for event in self._frame(Frame(raw)):
                        yield event
        except errors.SlipwayError as error:
            if not begun:
                raise
            yield self._failed(error)
            return
        for event in self._end():
            yield event

    def _begin(self) -> Iterator[bytes]:
        yield self._event("response.created", response=self._head.response("in_progress", []))
        yield self._event("response.in_progress", response=self._head.response("in_progress", []))
        search = search_item(self._head, self._question, [])
        if search is not None:
            index = self._add(search)
            yield self._event("response.output_item.added", output_index=index, item={**search, "status": "in_progress"})
            for step in ("in_progress", "searching", "completed"):
                yield self._event(f"response.file_search_call.{step}", output_index=index, item_id=search["id"])
            yield self._event("response.output_item.done", output_index=index, item=search)

    def _frame(self, frame: Frame) -> Iterator[bytes]:
        self._usage = frame.usage or self._usage
        for choice in frame.choices:
            delta: dict[str, Any] = choice.get("delta") or {}
            if delta.get("content"):
                yield from self._text(delta["content"], (choice.get("logprobs") or {}).get("content") or [])
            if delta.get("refusal"):
                yield from self._refusal(delta["refusal"])
            for note in delta.get("annotations") or []:
                yield from self._annotation(note)
            for call in delta.get("tool_calls") or []:
                yield from self._call(call)
            self._finish = choice.get("finish_reason") or self._finish

    def _text(self, text: str, logprobs: list[Any]) -> Iterator[bytes]:
        yield from self._message()
        part = yield from self._part("output_text")
        part["text"] += text
        part["logprobs"] += logprobs
        yield self._at("response.output_text.delta", part, delta=text, logprobs=logprobs)

    def _refusal(self, text: str) -> Iterator[bytes]:
        yield from self._message()
        part = yield from self._part("refusal")
        part["refusal"] += text
        yield self._at("response.refusal.delta", part, delta=text)

    def _annotation(self, note: Document) -> Iterator[bytes]:
        yield from self._message()
        part = yield from self._part("output_text")
        part["annotations"].append(note)
        number = len(part["annotations"]) - 1
        yield self._at("response.output_text.annotation.added", part, annotation_index=number, annotation=note)

    def _call(self, call: Document) -> Iterator[bytes]:
        function = call.get("function") or {}
        if call.get("id"):  # the first frame of a call
            yield from self._close()
            self._item = call_item(new_id("fc"), call["id"], function.get("name") or "", "", status="in_progress")
            self._add(self._item)
            yield self._event("response.output_item.added", output_index=self._index, item=dict(self._item))
        if self._item is None or self._item["type"] != "function_call":
            raise errors.UpstreamFailed("The generator sent arguments of a call that it never began.")
        if arguments := function.get("arguments"):
            self._item["arguments"] += arguments
            yield self._event("response.function_call_arguments.delta", output_index=self._index, item_id=self._item["id"], delta=arguments)

    def _message(self) -> Iterator[bytes]:
        """Begins a message, unless one is being said."""
        if self._item is not None and self._item["type"] == "message":
            return
        yield from self._close()
        self._item = message_item(new_id("msg"), "", [], None, status="in_progress") | {"content": []}
        self._add(self._item)
        yield self._event("response.output_item.added", output_index=self._index, item={**self._item, "content": []})

    def _part(self, kind: str) -> Generator[bytes, None, Document]:
        """The message's part of `kind`, begun when it is not there."""
        assert self._item is not None
        for part in self._item["content"]:
            if part["type"] == kind:
                return part
        part: Document = (
            {"type": "refusal", "refusal": ""} if kind == "refusal" else {"type": kind, "text": "", "annotations": [], "logprobs": []}
        )
        self._item["content"].append(part)
        yield self._at("response.content_part.added", part, part=orjson.loads(orjson.dumps(part)))
        return part

    def _close(self) -> Iterator[bytes]:
        item = self._item
        if item is None:
            return
        if item["type"] == "message":
            for part in item["content"]:
                if part["type"] == "refusal":
                    yield self._at("response.refusal.done", part, refusal=part["refusal"])
                else:
                    yield self._at("response.output_text.done", part, text=part["text"], logprobs=part["logprobs"])
                yield self._at("response.content_part.done", part, part=part)
        else:
            yield self._event(
                "response.function_call_arguments.done",
                output_index=self._index,
                item_id=item["id"],
                name=item["name"],
                arguments=item["arguments"],
            )
        item["status"] = "completed"
        yield self._event("response.output_item.done", output_index=self._index, item=item)
        self._item = None

    def _end(self) -> Iterator[bytes]:
        if self._item is None and not any(item["type"] in ("message", "function_call") for item in self._output):
            yield from self._message()
            yield from self._part("output_text")
        yield from self._close()
        self.final = ended(self._head, self._output, self._usage, self._finish)
        yield self._event(f"response.{self.final['status']}", response=self.final)

    def _failed(self, error: errors.SlipwayError) -> bytes:
        if self._item is not None:
            self._item["status"] = "incomplete"
        told = {"code": error.error_code or "server_error", "message": error.message}
        self.final = self._head.response("failed", self._output, usage_of(self._usage), error=told)
        return self._event("response.failed", response=self.final)

    @property
    def _index(self) -> int:
        return len(self._output) - 1

    def _add(self, item: Document) -> int:
        self._output.append(item)
        return self._index

    def _at(self, kind: str, of: Document, **fields: Any) -> bytes:
        assert self._item is not None
        # By identity: two parts may look alike.
        number = next(n for n, own in enumerate(self._item["content"]) if own is of)
        return self._event(kind, output_index=self._index, content_index=number, item_id=self._item["id"], **fields)

    def _event(self, kind: str, **fields: Any) -> bytes:
        event = {"type": kind, "sequence_number": self._number, **fields}
        self._number += 1
        return b"event: " + kind.encode() + b"\ndata: " + orjson.dumps(event) + b"\n\n"
