"""What is asked of the peers: the same bytes for each, apart from the field that names a schema. It refuses to know who answers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

WORDS = [
    "river",
    "stone",
    "market",
    "window",
    "garden",
    "letter",
    "summer",
    "engine",
    "harbour",
    "silver",
    "morning",
    "teacher",
    "village",
    "paper",
    "bridge",
    "winter",
    "music",
    "doctor",
    "mountain",
    "station",
    "kitchen",
    "farmer",
    "island",
    "colour",
    "number",
    "bottle",
    "forest",
    "history",
    "captain",
    "valley",
]
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "title": {"type": "string", "maxLength": 24},
        "year": {"type": "integer", "minimum": 1900, "maximum": 2099},
        "kinds": {"type": "array", "items": {"enum": ["report", "letter", "note"]}, "minItems": 1, "maxItems": 3},
    },
    "required": ["title", "year", "kinds"],
    "additionalProperties": False,
}


Body = Callable[[int, int], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Case:
    """`body` makes the request of one stream in one round; `path` is where it goes. `schema` marks constrained answers."""

    name: str
    streams: int
    path: str
    body: Body
    schema: bool = False


def all_cases(streams: tuple[int, ...], tokens: int, ends: dict[str, int]) -> list[Case]:
    """Every case at every number of streams; `ends` biases the end tokens away, so that all peers generate `tokens`."""

    def plain(words: int, *, copies: bool = False) -> Body:
        def body(round_number: int, stream: int) -> dict[str, Any]:
            text = prose(words, seed=round_number * 1009 + stream * 31 + words)
            prompt = f"{text} {text} {' '.join(text.split()[:8])}" if copies else text
            return {"prompt": prompt, "max_tokens": tokens, "temperature": 0, "logit_bias": ends}

        return body

    def shared(round_number: int, stream: int) -> dict[str, Any]:
        # All streams of a round share a beginning that no earlier round had: the first reader is cold, the others can profit.
        passages = prose(240, seed=round_number * 7919 + 5)
        return {"prompt": f"{passages}\n{prose(8, seed=stream)}", "max_tokens": tokens, "temperature": 0, "logit_bias": ends}

    def warm(_round_number: int, stream: int) -> dict[str, Any]:
        return {"prompt": f"{prose(240, seed=3)}\n{prose(8, seed=stream)}", "max_tokens": tokens, "temperature": 0, "logit_bias": ends}

    def constrained(round_number: int, stream: int) -> dict[str, Any]:
        messages = [{"role": "user", "content": prose(24, seed=round_number * 97 + stream)}]
        form = {"type": "json_schema", "json_schema": {"name": "entry", "schema": SCHEMA}}
        return {"messages": messages, "max_tokens": 2 * tokens, "temperature": 0, "response_format": form}

    legacy, chat = "/v1/completions", "/v1/chat/completions"
    made = [("short", legacy, plain(24)), ("long", legacy, plain(260)), ("copy", legacy, plain(90, copies=True)),
            ("shared", legacy, shared), ("warm", legacy, warm), ("json", chat, constrained)]  # fmt: skip
    return [Case(name, count, path, _numbered(body, count), name == "json") for count in streams for name, path, body in made]


def _numbered(body: Body, count: int) -> Body:
    """Rounds of other numbers for each number of streams: no prompt comes twice, because a server may keep what it has read."""
    return lambda round_number, stream: body(100_000 * count + round_number, stream)


def prose(words: int, *, seed: int) -> str:
    """`words` words in an order that `seed` fixes (a linear congruential walk: the same on every machine)."""
    state, out = seed * 2654435761 % (1 << 32), list[str]()
    for _ in range(words):
        state = (state * 1664525 + 1013904223) % (1 << 32)
        out.append(WORDS[(state >> 16) % len(WORDS)])
    return " ".join(out)
