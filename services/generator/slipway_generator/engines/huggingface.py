"""A `tokenizer.json` and its chat template, for engines whose model folder is laid out as the hub does it.

It needs the tokenizers library and refuses to know engines.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from slipway_generator.model import StartRefused
from slipway_generator.template import CHATML, PLAIN, ChatTemplate

_BYTE_TOKEN = re.compile(r"^<0x([0-9A-Fa-f]{2})>$")


class HubTokenizer:
    """A byte-level or a byte-fallback BPE."""

    def __init__(self, folder: Path) -> None:
        try:
            import tokenizers
        except ImportError as error:
            raise StartRefused("the tokenizers library is not installed; install slipway-generator[onnx].") from error
        path = folder / "tokenizer.json"
        if not path.is_file():
            raise StartRefused(f"{folder} holds no tokenizer.json.")
        raw = json.loads(path.read_text(encoding="utf-8"))
        self._tokenizer = tokenizers.Tokenizer.from_str(json.dumps(raw))
        # Special tokens that are spelled in a text are split like any other text.
        self._tokenizer.encode_special_tokens = True
        self._config = _read(folder / "tokenizer_config.json")
        added = {str(token["content"]): int(token["id"]) for token in raw.get("added_tokens", ())}
        control = {int(token["id"]) for token in raw.get("added_tokens", ()) if token.get("special")}
        self.control = sorted(control)
        self._specials = added
        byte_level = "ByteLevel" in json.dumps([raw.get("decoder"), raw.get("pre_tokenizer")])
        size = self._tokenizer.get_vocab_size(with_added_tokens=True)
        self._pieces = [self._spell(token, control, added, byte_level=byte_level) for token in range(size)]
        self._longest = max(1, *(len(piece) for piece in self._pieces))
        self._bos = added.get(self.named("bos_token")) if self._config.get("add_bos_token") else None

    @property
    def specials(self) -> Mapping[str, int]:
        return self._specials

    @property
    def bos(self) -> int | None:
        return self._bos

    @property
    def longest_piece_bytes(self) -> int:
        return self._longest

    @property
    def pieces(self) -> list[bytes]:
        """Every token's bytes, by id."""
        return self._pieces

    def encode(self, text: str) -> list[int]:
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def piece(self, token: int) -> bytes:
        if not 0 <= token < len(self._pieces):
            raise ValueError(f"{token} is not a token of this vocabulary")
        return self._pieces[token]

    def named(self, name: str) -> str:
        """The spelling of a token that the configuration names (`eos_token`, ...); "" for none."""
        value = self._config.get(name)
        return str(value.get("content", "")) if isinstance(value, dict) else str(value or "")

    def ends(self, folder: Path) -> frozenset[int]:
        """Every token that ends an answer, as the folder's configuration and its tokenizer name them."""
        named = [_read(folder / name).get("eos_token_id") for name in ("generation_config.json", "config.json")]
        ids = [one for value in named for one in (value if isinstance(value, list) else [value]) if isinstance(one, int)]
        spelled = self._specials.get(self.named("eos_token"))
        return frozenset(ids if spelled is None else [*ids, spelled])

    def template(self, folder: Path) -> ChatTemplate:
        """The folder's chat template; without one ChatML where the vocabulary has its tokens, else plain roles."""
        path = folder / "chat_template.jinja"
        source = path.read_text(encoding="utf-8") if path.is_file() else self._config.get("chat_template")
        if not isinstance(source, str):
            source = CHATML if "<|im_start|>" in self._specials else PLAIN
        return ChatTemplate(source, tuple(self._specials), bos=self.named("bos_token"), eos=self.named("eos_token"))

    def _spell(self, token: int, control: set[int], added: dict[str, int], *, byte_level: bool) -> bytes:
        text = self._tokenizer.id_to_token(token)
        if text is None or token in control:
            return b""
        if text in added:
            return text.encode()
        if byte_level:
            return bytes(_FROM_BYTE_LEVEL[char] for char in text if char in _FROM_BYTE_LEVEL)
        if match := _BYTE_TOKEN.match(text):
            return bytes([int(match.group(1), 16)])
        return text.replace("\u2581", " ").encode()


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _byte_level() -> dict[str, int]:
    """GPT-2's alphabet: printable bytes stand for themselves, the others for the characters from U+0100 on, in order."""
    shown = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in shown]
    return {chr(byte): byte for byte in shown} | {chr(0x100 + at): byte for at, byte in enumerate(hidden)}


_FROM_BYTE_LEVEL = _byte_level()
