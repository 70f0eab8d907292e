"""The model as onnxruntime-genai opened it, and generators over it: one KV cache each, of as many rows and tokens as asked.

The library's own search is told nothing but to take the likeliest token: sampling, masks and stops are the service's. It refuses to know sequences.
"""

import importlib
import json
from pathlib import Path
from typing import Any

from slipway_generator.model import StartRefused

_SEARCH = {"do_sample": False, "num_beams": 1, "repetition_penalty": 1.0, "min_length": 0, "no_repeat_ngram_size": 0}
"""Whatever genai_config.json took over from the model's own configuration would otherwise change the tokens that a batch is told to go on with."""


class Native:
    """One loaded model. `ends`: every token that ends an answer. `filling`: the token that fills up short rows of a batch, and one that ends a row; None where
    the model names none, and then it cannot be asked for more than one row."""

    def __init__(self, folder: Path, context_tokens: int, threads: int) -> None:
        self.context_tokens = context_tokens
        described = json.loads((folder / "genai_config.json").read_text(encoding="utf-8")).get("model", {})
        self.ends = _numbers(described.get("eos_token_id"))
        pads = _numbers(described.get("pad_token_id"))
        self.filling = (min(pads), min(self.ends)) if pads and self.ends else None
        self._library = _library()
        try:
            config = self._library.Config(str(folder))
            config.overlay(json.dumps({"model": {"decoder": {"session_options": {"intra_op_num_threads": threads}}}}))
            self._model: Any = self._library.Model(config)
        except (RuntimeError, ValueError) as error:
            raise StartRefused(f"ONNX Runtime cannot load {folder.name}: {str(error)[:300]}.") from error

    def generator(self, rows: int = 1, tokens: int | None = None) -> Any:
        """A generator of `rows` rows that holds `tokens` (None: the whole context) of prompt and answer in each; RuntimeError where memory is short."""
        parameters = self._library.GeneratorParams(self._model)
        parameters.set_search_options(max_length=tokens or self.context_tokens, batch_size=rows, **_SEARCH)
        return self._library.Generator(self._model, parameters)


def _numbers(value: Any) -> frozenset[int]:
    return frozenset(one for one in (value if isinstance(value, list) else [value]) if isinstance(one, int))


def _library() -> Any:
    try:
        return importlib.import_module("onnxruntime_genai")
    except ImportError as error:
        raise StartRefused("onnxruntime-genai is not installed; install slipway-generator[onnx].") from error
