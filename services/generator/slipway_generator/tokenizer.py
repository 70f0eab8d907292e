"""What the service needs of a tokenizer, and the prompt that is put together from pieces.

User text is encoded as text only: a special token comes into a prompt through `Piece.special`, never by being spelled in a message.
It refuses to know how a tokenizer is stored.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


class Tokenizer(Protocol):
    """A model's own vocabulary. Ids are in [0, size) for real models; `echo` has an open vocabulary and its own check."""

    @property
    def specials(self) -> Mapping[str, int]:
        """Control tokens and others that are matched before the text is split, by their spelling."""
        ...

    @property
    def bos(self) -> int | None:
        """The token that every prompt begins with, where the model wants one."""
        ...

    @property
    def longest_piece_bytes(self) -> int:
        """Upper bound of the bytes that one token spells; text of n bytes has at least n / this many tokens."""
        ...

    def encode(self, text: str) -> list[int]:
        """The ids of `text` as plain text: a special token spelled in it is not one."""
        ...

    def piece(self, token: int) -> bytes:
        """The bytes of a token, b"" for a control token; ValueError for an id outside the vocabulary."""
        ...


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a prompt: plain text, or the spelling of one special token."""

    text: str
    special: bool = False


def encode_prompt(tokenizer: Tokenizer, pieces: Iterable[Piece]) -> tuple[int, ...]:
    """The prompt's ids, with the model's first token in front where the pieces do not bring it."""
    ids: list[int] = []
    for piece in pieces:
        if piece.special:
            ids.append(tokenizer.specials[piece.text])
        elif piece.text:
            ids += tokenizer.encode(piece.text)
    if tokenizer.bos is not None and (not ids or ids[0] != tokenizer.bos):
        ids.insert(0, tokenizer.bos)
    return tuple(ids)


def decode(tokenizer: Tokenizer, tokens: Sequence[int]) -> str:
    """The text of `tokens`; bytes that are no UTF-8 become replacement characters."""
    return b"".join(tokenizer.piece(token) for token in tokens).decode("utf-8", errors="replace")
