"""A bundle as one token row: the passages once, every question behind them, none of which sees another.

    position  0 ............ p | p+1 ... a | p+1 ... b
    segment   0 0 0 0 0 0 0 0  | 1 1 1 1 1 | 2 2 2 2
    content   <|system|>...<|end|> <|user|>..<|assistant|>..<|end|> <|user|>...

A token attends to segment 0 and to its own segment, and positions restart behind the passages: each question is seen exactly as it will be when it is
served alone, but the passages are computed once for all of them. It knows tokens. It refuses to know torch.
"""

from dataclasses import dataclass

from slipway_shared.grounding import passages_message
from tokenizers import Tokenizer

from slipway_training.rows import Bundle, Turn
from slipway_training.tokenizer import ASSISTANT, END, SYSTEM, USER, encode, special_id


@dataclass(frozen=True, slots=True)
class Row:
    """Parallel lists of one length. `target[i]` says whether token i is to be predicted (an answer token)."""

    tokens: list[int]
    segments: list[int]
    positions: list[int]
    target: list[bool]
    source: str


class Layout:
    """Turns bundles into rows with one tokenizer."""

    def __init__(self, tokenizer: Tokenizer, max_position: int, max_tokens: int) -> None:
        """`max_position` is the model's context; `max_tokens` bounds a whole row."""
        self._tokenizer = tokenizer
        self._max_position = max_position
        self._max_tokens = max_tokens
        self._system, self._user, self._assistant, self._end = (special_id(tokenizer, t) for t in (SYSTEM, USER, ASSISTANT, END))

    def row(self, bundle: Bundle) -> Row | None:
        """The row of `bundle`; turns that do not fit are left out, and None comes back when none fits."""
        prefix = self.prefix(bundle.passages)
        row = Row(list(prefix), [0] * len(prefix), list(range(len(prefix))), [False] * len(prefix), bundle.source)
        for segment, turn in enumerate(bundle.turns, start=1):
            ask, reply = self.turn(turn)
            size = len(ask) + len(reply)
            if len(prefix) + size > self._max_position or len(row.tokens) + size > self._max_tokens:
                continue
            row.tokens.extend(ask + reply)
            row.segments.extend([segment] * size)
            row.positions.extend(range(len(prefix), len(prefix) + size))
            row.target.extend([False] * len(ask) + [True] * len(reply))
        return row if len(row.tokens) > len(prefix) else None

    def prefix(self, passages: tuple[str, ...]) -> list[int]:
        """The system message with the numbered passages; nothing when there are none (a request without retrieval has no system message)."""
        return [self._system, *encode(self._tokenizer, passages_message(passages)), self._end] if passages else []

    def turn(self, turn: Turn) -> tuple[list[int], list[int]]:
        """(question up to the open assistant turn, reply up to its end)."""
        ask = [self._user, *encode(self._tokenizer, turn.question), self._end, self._assistant]
        return ask, [*encode(self._tokenizer, turn.reply), self._end]
