"""The response object and its items. It knows their shapes and which fields are never null; it refuses to know streams and stores."""

import secrets
import time
from dataclasses import dataclass, field
from typing import Any

from slipway_gateway.responses.request import ResponsesRequest

Document = dict[str, Any]


@dataclass(slots=True)
class Head:
    """What stays the same over a response's life."""

    asked: ResponsesRequest
    id: str = field(default_factory=lambda: f"resp_{secrets.token_hex(16)}")
    created_at: int = field(default_factory=lambda: int(time.time()))

    def response(self, status: str, output: list[Document], usage: Document | None = None, **more: Any) -> Document:
        """The response object in `status`."""
        asked = self.asked
        search = [t.model_dump(mode="json", by_alias=True) for t in asked.tools]
        choice = asked.tool_choice if isinstance(asked.tool_choice, str) else asked.tool_choice.model_dump(mode="json")
        return {
            "id": self.id,
            "object": "response",
            "created_at": self.created_at,
            "status": status,
            "background": asked.background,
            "error": None,
            "incomplete_details": None,
            "instructions": asked.instructions,
            "max_output_tokens": asked.max_output_tokens,
            "max_tool_calls": None,
            "model": asked.model,
            "output": output,
            "parallel_tool_calls": asked.parallel_tool_calls,
            "previous_response_id": asked.previous_response_id,
            "reasoning": {"effort": None, "summary": None},
            "store": asked.store,
            # Numbers are never null: clients compute with them.
            "temperature": 1.0 if asked.temperature is None else asked.temperature,
            "top_p": 1.0 if asked.top_p is None else asked.top_p,
            "presence_penalty": 0.0,
            "frequency_penalty": 0.0,
            "top_logprobs": asked.top_logprobs or 0,
            "text": {"format": asked.text.format.model_dump(by_alias=True, exclude_none=True)}
            if asked.text and asked.text.format
            else {"format": {"type": "text"}},
            "tool_choice": choice,
            "tools": search,
            "truncation": asked.truncation,
            "usage": usage,
            "user": asked.user,
            "metadata": asked.metadata or {},
            "service_tier": "default",
            **more,
        }


def usage_of(chat: Document | None) -> Document:
    """Chat usage in this dialect, details included."""
    chat = chat or {}
    return {
        "input_tokens": chat.get("prompt_tokens", 0),
        "input_tokens_details": {
            "cached_tokens": (chat.get("prompt_tokens_details") or {}).get("cached_tokens", 0),
            "cache_write_tokens": 0,
        },
        "output_tokens": chat.get("completion_tokens", 0),
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": chat.get("total_tokens", 0),
    }


def new_id(prefix: str) -> str:
    """A fresh id of an item."""
    return f"{prefix}_{secrets.token_hex(12)}"


def message_item(item_id: str, text: str, annotations: list[Document], refusal: str | None, *, status: str = "completed") -> Document:
    """An answer's text (or refusal) as an item."""
    content: list[Document] = []
    if text or refusal is None:
        content.append({"type": "output_text", "text": text, "annotations": annotations, "logprobs": []})
    if refusal is not None:
        content.append({"type": "refusal", "refusal": refusal})
    return {"id": item_id, "type": "message", "role": "assistant", "status": status, "content": content}


def call_item(item_id: str, call_id: str, name: str, arguments: str, *, status: str = "completed") -> Document:
    """A function call as an item; `arguments` is a JSON string."""
    return {"id": item_id, "type": "function_call", "call_id": call_id, "name": name, "arguments": arguments, "status": status}


def search_item(head: Head, question: str, annotations: list[Document]) -> Document | None:
    """The search that was made, where the request had the tool; its results when they were asked for."""
    if head.asked.file_search is None:
        return None
    results = None
    if head.asked.include and "file_search_call.results" in head.asked.include:
        cited = {note["passage_id"]: note for note in annotations if note["type"] == "file_citation"}
        results = [
            {"file_id": n["file_id"], "filename": n["filename"], "score": n["score"], "text": n["quote"], "attributes": {}}
            for n in cited.values()
        ]
    return {"id": new_id("fs"), "type": "file_search_call", "status": "completed", "queries": [question], "results": results}


def ended(head: Head, output: list[Document], usage: Document | None, finish: str | None) -> Document:
    """The response after its last token: completed, or incomplete with the reason."""
    reasons = {"length": "max_output_tokens", "content_filter": "content_filter"}
    if finish in reasons:
        return head.response("incomplete", output, usage_of(usage), incomplete_details={"reason": reasons[finish]})
    return head.response("completed", output, usage_of(usage), completed_at=int(time.time()))


def from_chat(head: Head, question: str, chat: Document) -> Document:
    """A chat completion as a response."""
    choice = chat["choices"][0]
    message = choice["message"]
    annotations: list[Document] = message.get("annotations") or []
    output = [item for item in (search_item(head, question, annotations),) if item is not None]
    if message.get("content") or message.get("refusal") or not message.get("tool_calls"):
        output.append(message_item(new_id("msg"), message.get("content") or "", annotations, message.get("refusal")))
    for call in message.get("tool_calls") or []:
        output.append(call_item(new_id("fc"), call["id"], call["function"]["name"], call["function"]["arguments"]))
    return ended(head, output, chat.get("usage"), choice.get("finish_reason"))


def to_history(output: list[Document]) -> list[Document]:
    """What of a response is said again to the model when the conversation goes on."""
    out: list[Document] = []
    for item in output:
        if item["type"] == "message":
            out.append({"role": "assistant", "content": "".join(part.get("text") or part.get("refusal") or "" for part in item["content"])})
        elif item["type"] == "function_call":
            call = {"id": item["call_id"], "type": "function", "function": {"name": item["name"], "arguments": item["arguments"]}}
            if out and out[-1].get("tool_calls"):
                out[-1]["tool_calls"].append(call)
            else:
                out.append({"role": "assistant", "content": None, "tool_calls": [call]})
    return out
