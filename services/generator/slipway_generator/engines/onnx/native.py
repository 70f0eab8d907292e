"""The model as onnxruntime-genai opened it, and generators over it: one KV cache each, of as many rows and tokens as asked.

The library's own search is told nothing but to take the likeliest token: sampling, masks and stops are the service's. It refuses to know sequences.
"""

import json
from pathlib import Path
from typing import Any

from slipway_generator.engines.onnx.library import Generator, load_library
from slipway_generator.model import StartRefused

_SEARCH: dict[str, float | bool] = {
    "do_sample": False,
    "num_beams": 1,
    "repetition_penalty": 1.0,
    "min_length": 0,
    "no_repeat_ngram_size": 0,
}
"""Whatever genai_config.json took over from the model's own configuration would otherwise change the tokens that a batch is told to go on with."""

STRIDE = 256
"""Tokens to which a batch's memory is rounded up, so that the next one fits into it."""


class Native:
    """One loaded model. `ends`: every token that ends an answer. `filling`: the token that fills up short rows of a batch, and one that ends a row; None where
    the model names none, and then it cannot be asked for more than one row."""

    def __init__(self, folder: Path, context_tokens: int, threads: int) -> None:
        self.context_tokens = context_tokens
        described = json.loads((folder / "genai_config.json").read_text(encoding="utf-8")).get("model", {})
        self.ends = _numbers(described.get("eos_token_id"))
        pads = _numbers(described.get("pad_token_id"))
        self.filling = (min(pads), min(self.ends)) if pads and self.ends else None
        self._spare: tuple[int, int, Generator] | None = None
        self._library = load_library()
        overlay = {"model": {"decoder": {"session_options": {"intra_op_num_threads": threads}}}}
        try:
            config = self._library.make("Config", "OgaCreateConfig", str(folder).encode())
            self._library.call("OgaConfigOverlay", config, json.dumps(overlay).encode())
            self._model = self._library.make("Model", "OgaCreateModelFromConfig", config)
        except RuntimeError as error:
            raise StartRefused(f"ONNX Runtime cannot load {folder.name}: {str(error)[:300]}.") from error

    def rows(self, rows: int, tokens: int) -> tuple[Generator, int]:
        """An empty generator of `rows` rows for a batch, and how many tokens (at least `tokens`) it holds in each. One that was given back is used again, because
        the memory of a new one takes as long as dozens of steps of a small model."""
        spare, self._spare = self._spare, None
        if spare is not None and spare[0] == rows and tokens <= spare[1]:
            spare[2].rewind(0)
            return spare[2], spare[1]
        held = min(self.context_tokens, -(-tokens // STRIDE) * STRIDE)
        return self.generator(rows, held), held

    def give_back(self, rows: int, tokens: int, generator: Generator) -> None:
        """The batch has ended; the latest generator is kept, so that at most one idles."""
        self._spare = (rows, tokens, generator)

    def generator(self, rows: int = 1, tokens: int | None = None) -> Generator:
        """A generator of `rows` rows that holds `tokens` (None: the whole context) of prompt and answer in each; RuntimeError where memory is short."""
        return Generator(self._library, self._model, {**_SEARCH, "max_length": tokens or self.context_tokens, "batch_size": rows})


def _numbers(value: Any) -> frozenset[int]:
    return frozenset(one for one in (value if isinstance(value, list) else [value]) if isinstance(one, int))
