"""A tokenizer without a vocabulary, and the chat template that goes with it: for engines that read text rather than tokens.

Lossless: the text of a prompt comes back from its ids byte by byte. It refuses to know who uses it.
"""

import re
from collections.abc import Mapping, Sequence

SPECIALS = {"<|system|>": 1, "<|user|>": 2, "<|assistant|>": 3, "<|tool|>": 4, "<|end|>": 5}
TEMPLATE = (
    "{% for m in messages %}<|{{ 'system' if m.role == 'developer' else m.role }}|>{{ m.content or '' }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
_CHUNK = re.compile(rb"[ ]?[A-Za-z0-9]{1,5}|.", re.DOTALL)
_CHUNK_MARK = 1  # a leading one keeps leading zero bytes; six bytes and the mark stay below 2**53, so every JSON reader keeps ids exact


class ByteRuns:
    """Runs of at most six bytes; a token's id is its bytes read as a number."""

    longest_piece_bytes = 6
    bos = None

    @property
    def specials(self) -> Mapping[str, int]:
        return SPECIALS

    def encode(self, text: str) -> list[int]:
        return [int.from_bytes(bytes([_CHUNK_MARK]) + chunk) for chunk in _CHUNK.findall(text.encode("utf-8", errors="replace"))]

    def piece(self, token: int) -> bytes:
        if token in SPECIALS.values():
            return b""
        raw = token.to_bytes(7) if 0 < token < 1 << 49 else b""
        raw = raw.lstrip(b"\0")
        if len(raw) < 2 or raw[0] != _CHUNK_MARK:
            raise ValueError(f"{token} is not a token of this vocabulary")
        return raw[1:]


def turns(prompt: Sequence[int]) -> list[tuple[str, str]]:
    """The (role, text) pairs of a prompt that the template wrote; a prompt without turns is one turn of the user."""
    names = {number: spelling[2:-2] for spelling, number in SPECIALS.items()}
    tokenizer = ByteRuns()
    out: list[tuple[str, list[bytes]]] = []
    open_turn = False
    for token in prompt:
        role = names.get(token)
        if role == "end":
            open_turn = False
        elif role is not None:
            out.append((role, []))
            open_turn = True
        else:
            if not open_turn:
                out.append(("user", []))
                open_turn = True
            out[-1][1].append(tokenizer.piece(token))
    return [(role, b"".join(pieces).decode("utf-8", errors="replace")) for role, pieces in out]
