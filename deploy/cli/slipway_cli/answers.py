"""A question to the platform and its answer on the terminal, as it comes, with what it stands on. It refuses to know HTTP and the pipeline."""

from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.markup import escape

from slipway_cli.api import Api

_MARKS = {
    "abstention": "no answer",
    "fallback": "quoted from the passages",
    "ungrounded": "not checked against any source",
    "safety": "stopped by the safety filter",
}
_REASONS = {
    "not_grounded": "the model's answer did not stand on any",
    "model_abstained": "the model found no answer in the passages",
    "generator_down": "the generator is down",
    "generator_overloaded": "the generator is overloaded",
    "retriever_down": "the retriever is down",
}
_LONGEST_QUOTE = 200


@dataclass
class Answer:
    """What came, put together."""

    text: str = ""
    annotations: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    refusal: str = ""


def ask(api: Api, model: str, messages: list[dict[str, str]], store: str | None, console: Console) -> Answer:
    """Stream the answer to `messages` onto `console` and return it. With a `store` id it is answered from that store. Raises ApiError."""
    body: dict[str, Any] = {"model": model, "messages": messages, "retrieval": {"vector_store_ids": [store]} if store else False}
    answer = Answer()
    for frame in api.chat(body):
        for choice in frame.get("choices", []):
            delta: dict[str, Any] = choice.get("delta") or {}
            if text := delta.get("content"):
                answer.text += text
                console.print(text, end="", markup=False, highlight=False, soft_wrap=True)
            answer.refusal += delta.get("refusal") or ""
            answer.annotations += delta.get("annotations") or []
    console.print(answer.refusal, markup=False)
    show_sources(answer, console)
    return answer


def show_sources(answer: Answer, console: Console) -> None:
    """The citations, one line each, and whatever else is to be known about the answer."""
    shown: set[int] = set()
    for note in answer.annotations:
        number = note.get("number", len(shown) + 1)
        if note.get("type") == "file_citation" and number not in shown:
            shown.add(number)
            quote = " ".join(str(note.get("quote", "")).split())
            short = quote if len(quote) <= _LONGEST_QUOTE else quote[: _LONGEST_QUOTE - 1] + "…"
            name = escape(str(note.get("filename", "")))
            console.print(f"  [cyan]\\[{number}][/] [bold]{name}[/] [dim]{escape(short)}[/]", highlight=False, soft_wrap=True)
        elif mark := _MARKS.get(str(note.get("type"))):
            reason = _REASONS.get(str(note.get("reason")))
            console.print(f"  [yellow]({mark}{f': {reason}' if reason else ''})[/]", highlight=False, soft_wrap=True)


def pick_model(api: Api, wanted: str | None) -> str:
    """`wanted`, else the first model that can chat."""
    if wanted:
        return wanted
    return str(api.models()[0]["id"])
