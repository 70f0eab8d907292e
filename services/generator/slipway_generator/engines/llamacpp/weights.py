"""A loaded GGUF: its vocabulary, template and sizes. The file was verified before it came here.

It refuses to know contexts, sequences and schedules.
"""

import ctypes
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from slipway_generator.engines.llamacpp.library import Library
from slipway_generator.model import StartRefused

_CONTROL = 1 << 3
_USER_DEFINED = 1 << 4
_META_BYTES = 1 << 17


class Weights:
    """One model in memory. Freed by `free`, once."""

    def __init__(self, library: Library, path: Path) -> None:
        api = library.api
        parameters = api.llama_model_default_params()
        parameters.n_gpu_layers = 0
        parameters.use_extra_bufts = library.repack
        library.complaints.clear()
        self.api = api
        self.model = api.llama_model_load_from_file(str(path).encode(), parameters)
        if not self.model:
            cause = library.complaints[0] if library.complaints else "the library gave no reason"
            raise StartRefused(f"llama.cpp cannot load {path.name}: {cause}.")
        self.vocabulary = api.llama_model_get_vocab(self.model)
        self.size = int(api.llama_vocab_n_tokens(self.vocabulary))
        self.trained_context = int(api.llama_model_n_ctx_train(self.model))
        self.bytes = int(api.llama_model_size(self.model))
        if not api.llama_model_has_decoder(self.model) or api.llama_model_has_encoder(self.model):
            raise StartRefused(f"{path.name} is no decoder-only language model.")
        if api.llama_model_is_recurrent(self.model) or api.llama_model_is_hybrid(self.model):
            raise StartRefused(f"{path.name} has recurrent state, which this scheduler does not share between sequences.")

    def template(self) -> str | None:
        """The chat template that the file carries."""
        raw = self.api.llama_model_chat_template(self.model, None)
        return raw.decode(errors="replace") if raw else None

    def metadata(self, key: str) -> str | None:
        """One string of the file's metadata."""
        buffer = ctypes.create_string_buffer(_META_BYTES)
        length = self.api.llama_model_meta_val_str(self.model, key.encode(), buffer, _META_BYTES)
        return buffer.value.decode(errors="replace") if length >= 0 else None

    def ends(self) -> frozenset[int]:
        """Every token that ends an answer."""
        return frozenset(token for token in range(self.size) if self.api.llama_vocab_is_eog(self.vocabulary, token))

    def load_adapter(self, path: Path) -> Any:
        """A LoRA adapter's handle; None when the file does not fit this model."""
        return self.api.llama_adapter_lora_init(self.model, str(path).encode()) or None

    def free_adapter(self, adapter: Any) -> None:
        """Give an adapter's memory back; no context uses it any more."""
        self.api.llama_adapter_lora_free(adapter)

    def free(self) -> None:
        """Give the memory back."""
        if self.model:
            self.api.llama_model_free(self.model)
            self.model = None


class GgufTokenizer:
    """The tokenizer inside a GGUF. Safe to call from several threads: the vocabulary is never written after loading."""

    def __init__(self, weights: Weights) -> None:
        self._api = weights.api
        self._vocabulary = weights.vocabulary
        self._buffer_bytes = 256
        attributes = [int(self._api.llama_vocab_get_attr(self._vocabulary, token)) for token in range(weights.size)]
        # Control tokens say nothing in an answer; user-defined ones (tool-call tags, for example) are part of its text.
        self._pieces = [b"" if kind & _CONTROL else self._spell(token, special=True) for token, kind in enumerate(attributes)]
        self.control = [token for token, kind in enumerate(attributes) if kind & _CONTROL]
        special = [token for token, kind in enumerate(attributes) if kind & (_CONTROL | _USER_DEFINED)]
        self._specials = {spelled: token for token in special if (spelled := self.spelling(token))}
        self._longest = max(1, *(len(piece) for piece in self._pieces))
        first = int(self._api.llama_vocab_bos(self._vocabulary))
        self._bos = first if self._api.llama_vocab_get_add_bos(self._vocabulary) and first >= 0 else None

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
        raw = text.encode("utf-8", errors="replace")
        room = len(raw) + 8
        buffer = (ctypes.c_int32 * room)()
        count = int(self._api.llama_tokenize(self._vocabulary, raw, len(raw), buffer, room, False, False))
        if count < 0:
            buffer = (ctypes.c_int32 * -count)()
            count = int(self._api.llama_tokenize(self._vocabulary, raw, len(raw), buffer, -count, False, False))
        return buffer[:count]

    def piece(self, token: int) -> bytes:
        if not 0 <= token < len(self._pieces):
            raise ValueError(f"{token} is not a token of this vocabulary")
        return self._pieces[token]

    def spelling(self, token: int) -> str:
        """How a special token is written in a template; "" for none."""
        return self._spell(token, special=True).decode(errors="replace") if token >= 0 else ""

    def _spell(self, token: int, *, special: bool) -> bytes:
        buffer = ctypes.create_string_buffer(self._buffer_bytes)
        length = int(self._api.llama_token_to_piece(self._vocabulary, token, buffer, self._buffer_bytes, 0, special))
        if length < 0:
            self._buffer_bytes = -length
            return self._spell(token, special=special)
        return buffer.raw[:length]
