"""The proof that a vocabulary can write anything: every byte has a token, and any text comes back as it was.

It knows bytes and Unicode. It refuses to know how a vocabulary was trained.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from tokenizers import Tokenizer, pre_tokenizers

from slipway_training.vocab.pieces import SPACE

RANDOM_TEXTS = 2000
_PLANES = (
    (0x20, 0x7F),
    (0x80, 0x250),
    (0x370, 0x530),
    (0x5D0, 0x700),
    (0x900, 0xE00),
    (0x1F00, 0x2C00),
    (0x3040, 0x9FFF),
    (0xAC00, 0xD7A4),
    (0x1F300, 0x1FAFF),
)
_SPECIAL_TEXTS = (
    "",
    " ",
    "  ",
    "\n",
    "\t\r\n",
    " a",
    "a ",
    "a  b",
    "\u200d\u200b\ufeff",
    "e\u0301",
    "👩‍👩‍👧‍👦 🇪🇺",
    "\U0010fffd",
    "1234567890",
    "<|end|>",
)


@dataclass(frozen=True, slots=True)
class Coverage:
    """What was tried and what failed; `ok` is the condition for freezing."""

    byte_tokens: int
    texts: int
    failures: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """All 256 bytes have a token and every text came back."""
        return self.byte_tokens == 256 and not self.failures


def prove(tokenizer: Tokenizer, seed: int = 17) -> Coverage:
    """Looks for the token of every byte, and sends every code point below 256, awkward and random texts through and back."""
    vocabulary = tokenizer.get_vocab()
    byte_level = pre_tokenizers.ByteLevel.alphabet()
    # Byte-level vocabularies spell a byte as one printable character, byte fallback as <0xNN>.
    level = len(byte_level & vocabulary.keys()) if len(byte_level) == 256 else 0
    fallback = sum(f"<0x{b:02X}>" in vocabulary for b in range(256))
    plain = Tokenizer.from_str(tokenizer.to_str())
    plain.encode_special_tokens = True
    failures: list[str] = []
    count = 0
    for text in _texts(seed, without=SPACE if fallback == 256 else ""):
        count += 1
        if plain.decode(plain.encode(text, add_special_tokens=False).ids, skip_special_tokens=False) != text:
            failures.append(text.encode("unicode_escape").decode()[:80])
    return Coverage(max(level, fallback), count, tuple(failures[:20]))


def _texts(seed: int, without: str) -> Iterator[str]:
    yield from (chr(code) for code in range(256))
    yield "".join(chr(code) for code in range(256))
    yield from _SPECIAL_TEXTS
    rng = Random(seed)
    for _ in range(RANDOM_TEXTS):
        ranges = rng.choices(_PLANES, k=rng.randrange(1, 4))
        text = "".join(chr(rng.randrange(*rng.choice(ranges))) for _ in range(rng.randrange(1, 40)))
        yield text.replace(without, "") if without else text
