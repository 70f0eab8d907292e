"""Log-probabilities in OpenAI's two shapes: chat's `logprobs.content`, and the legacy completion's four parallel lists.

It refuses to know engines; it needs the tokenizer for spellings only.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from slipway_generator.engine import TokenLogprob
from slipway_generator.tokenizer import Tokenizer

FLOOR = -9999.0
"""Stands for probability 0, as in OpenAI's API: JSON has no minus infinity."""


def chat_content(tokenizer: Tokenizer, logprobs: Iterable[TokenLogprob]) -> list[dict[str, Any]]:
    """One entry a token: its spelling, bytes, log-probability and alternatives."""
    return [
        {**_entry(tokenizer, item.token, item.logprob), "top_logprobs": [_entry(tokenizer, token, value) for token, value in item.top]}
        for item in logprobs
    ]


def completion_lists(tokenizer: Tokenizer, logprobs: Sequence[TokenLogprob | None], tokens: Sequence[int], offset: int) -> dict[str, Any]:
    """tokens, token_logprobs, top_logprobs, text_offset; a None entry (the first token of a prompt) has no probability."""
    spelled = [_spelling(tokenizer, token) for token in tokens]
    offsets: list[int] = []
    for text in spelled:
        offsets.append(offset)
        offset += len(text)
    return {
        "tokens": spelled,
        "token_logprobs": [None if item is None else max(item.logprob, FLOOR) for item in logprobs],
        "top_logprobs": [
            None if item is None else {_spelling(tokenizer, token): max(value, FLOOR) for token, value in reversed(item.top)}
            for item in logprobs
        ],
        "text_offset": offsets,
    }


def _entry(tokenizer: Tokenizer, token: int, logprob: float) -> dict[str, Any]:
    raw = tokenizer.piece(token)
    return {"token": raw.decode("utf-8", errors="replace"), "logprob": max(logprob, FLOOR), "bytes": list(raw)}


def _spelling(tokenizer: Tokenizer, token: int) -> str:
    return tokenizer.piece(token).decode("utf-8", errors="replace")
