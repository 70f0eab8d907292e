"""Conversations and preferences from files, as token rows whose labels say what is learnt.

It knows JSONL, chat templates and which tokens the assistant says. It refuses to know trainers, and to cut a row: one that is too long is left out and counted.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from slipway_training.errors import ConfigError, DataMissing
from slipway_training.tuning.config import Rows
from slipway_training.tuning.made import conversations, preferences

IGNORED = -100
Messages = list[dict[str, str]]


@dataclass
class Tokens:
    """Training and held-out rows, each `input_ids` and `labels` of one length (IGNORED: no loss); `too_long` rows were left out."""

    train: list[dict[str, list[int]]] = field(default_factory=list[dict[str, list[int]]])
    held_out: list[dict[str, list[int]]] = field(default_factory=list[dict[str, list[int]]])
    too_long: int = 0

    @property
    def count(self) -> int:
        """Tokens of the training rows."""
        return sum(len(row["input_ids"]) for row in self.train)


def read_rows(data: Rows, *, pairs: bool = False) -> list[dict[str, Any]]:
    """Rows with `messages`, or with `prompt`, `chosen`, `rejected`; raises DataMissing, ConfigError with the line."""
    if data.made:
        return preferences(data.made) if pairs else conversations(data.made)
    path = Path(data.file)
    if not path.is_file():
        raise DataMissing(f"{path} is missing; data.file= names a JSONL file, or use --tiny, which needs none")
    check = _pair if pairs else _conversation
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            rows.append(check(json.loads(line)))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigError(f"{path}:{number} is no row of {'preferences' if pairs else 'messages'} ({type(error).__name__})") from error
    if not rows:
        raise DataMissing(f"{path} holds no row")
    return rows


def provenance(data: Rows) -> dict[str, object]:
    """What the rows are and under which licence; a provenance.json beside the file is carried on."""
    if data.made:
        return {"source": "self-made sums", "licence": "Apache-2.0", "rows": data.made}
    path = Path(data.file)
    beside = path.parent / "provenance.json"
    carried = json.loads(beside.read_text(encoding="utf-8")) if beside.is_file() else {}
    return {
        "source": path.name, "licence": data.licence or "unknown", "sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "made_from": carried,
    }  # fmt: skip


def held_out(row: object, share: float) -> bool:
    """Whether a row belongs to the held-out part: by its hash, so that the same row always does."""
    raw = hashlib.sha256(json.dumps(row, sort_keys=True).encode()).digest()
    return int.from_bytes(raw[:8], "big") / 2**64 < share


def tokenize(rows: Sequence[dict[str, Any]], tokenizer: Any, data: Rows, *, assistant_only: bool) -> Tokens:
    """Every row by the tokenizer's chat template; raises ConfigError when none is left to train on."""
    out = Tokens()
    for row in rows:
        ids, said = encode(row["messages"], tokenizer)
        if len(ids) > data.max_tokens:
            out.too_long += 1
            continue
        labels = [i if s or not assistant_only else IGNORED for i, s in zip(ids, said, strict=True)]
        (out.held_out if held_out(row, data.held_out) else out.train).append({"input_ids": ids, "labels": labels})
    if not out.train:
        raise ConfigError(f"no row is left to train on: {out.too_long} are longer than data.max_tokens={data.max_tokens}")
    return out


def encode(messages: Messages, tokenizer: Any) -> tuple[list[int], list[bool]]:
    """Ids of a conversation, and for each whether the assistant says it (its end of turn included).

    What is said is found by rendering the conversation up to each assistant turn and past it, so any template whose renderings are prefixes of each other
    will do; raises ConfigError for one whose are not.
    """
    whole = _render(tokenizer, messages, prompt=False)
    said = [False] * len(whole)
    for place, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        before, after = _render(tokenizer, messages[:place], prompt=True), _render(tokenizer, messages[: place + 1], prompt=False)
        if whole[: len(after)] != after or after[: len(before)] != before:
            raise ConfigError("the chat template rewrites earlier turns: use assistant_only=false with it")
        said[len(before) : len(after)] = [True] * (len(after) - len(before))
    return whole, said


def prompt_ids(messages: Messages, tokenizer: Any) -> list[int]:
    """Ids up to the open assistant turn."""
    return _render(tokenizer, messages, prompt=True)


def _render(tokenizer: Any, messages: Messages, *, prompt: bool) -> list[int]:
    return cast(
        "list[int]", tokenizer.apply_chat_template(messages, add_generation_prompt=prompt, tokenize=True, return_dict=True)["input_ids"]
    )


def _conversation(row: dict[str, Any]) -> dict[str, Any]:
    messages = [{"role": str(m["role"]), "content": _text(m["content"])} for m in row["messages"]]
    if not any(m["role"] == "assistant" for m in messages):
        raise ValueError("no assistant turn")
    return {"messages": messages}


def _pair(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "prompt": _turns(row["prompt"], "user"), "chosen": _turns(row["chosen"], "assistant"), "rejected": _turns(row["rejected"], "assistant"),
    }  # fmt: skip


def _turns(value: object, role: str) -> Messages:
    if isinstance(value, str):
        return [{"role": role, "content": value}]
    return [{"role": str(m["role"]), "content": _text(m["content"])} for m in cast("list[dict[str, Any]]", value)]


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("content must be text")
    return value
