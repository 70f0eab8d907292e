"""One reader behind one verb, whatever runs it: a flavor folder (llama.cpp or ONNX), transformers in memory, or the extractive baseline.

It knows how each library generates greedily for one prompt of tokens. It refuses to know sets and scores.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from slipway_shared.manifest import VerifiedModel, load_verified
from tokenizers import Tokenizer

from slipway_training.errors import ExportError, StackMissing
from slipway_training.layout import Layout
from slipway_training.quiet import silence_llama_cpp
from slipway_training.rows import Turn
from slipway_training.tokenizer import END, special_id

MAX_ANSWER_TOKENS = 64


class Reader(Protocol):
    """Answers one question over passages."""

    def answer(self, passages: Sequence[str], question: str) -> str:
        """The reply, citations included."""
        ...


class TokenModel(Protocol):
    """A model on token ids: what parity and generation need."""

    def logits(self, tokens: Sequence[int]) -> NDArray[np.float32]:
        """Next-token logits after every one of `tokens`, shape (len(tokens), vocabulary)."""
        ...

    def greedy(self, tokens: Sequence[int], stop: int, limit: int) -> list[int]:
        """At most `limit` tokens after `tokens`, each the most likely one, up to and without `stop`."""
        ...


class ModelReader:
    """A token model with the reader's prompt form around it."""

    def __init__(self, model: TokenModel, tokenizer: Tokenizer, context_tokens: int) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._context = context_tokens
        self._layout = Layout(tokenizer, context_tokens, context_tokens)
        self._end = special_id(tokenizer, END)

    def answer(self, passages: Sequence[str], question: str) -> str:
        """Greedy reply; the last passages are dropped when the prompt would not leave room for it."""
        kept = list(passages)
        while True:
            ask, _ = self._layout.turn(Turn(question, "", 0))
            prompt = [*self._layout.prefix(tuple(kept)), *ask]
            if len(prompt) + MAX_ANSWER_TOKENS <= self._context or not kept:
                break
            kept.pop()
        ids = self._model.greedy(prompt[: self._context - MAX_ANSWER_TOKENS], self._end, MAX_ANSWER_TOKENS)
        return self._tokenizer.decode(ids)


class LlamaCppModel:
    """A GGUF through llama-cpp-python, one thread."""

    def __init__(self, path: Path, context_tokens: int) -> None:
        try:
            import llama_cpp
        except ImportError as error:
            raise StackMissing("llama-cpp-python") from error
        silence_llama_cpp()
        self._llama = llama_cpp.Llama(
            str(path), n_ctx=context_tokens, n_threads=1, n_threads_batch=1, logits_all=True, verbose=False, n_batch=context_tokens
        )

    def tokenize(self, text: str) -> list[int]:
        """llama.cpp's own ids of plain text, for comparison with ours."""
        return self._llama.tokenize(text.encode(), add_bos=False, special=False)

    def logits(self, tokens: Sequence[int]) -> NDArray[np.float32]:
        """See TokenModel."""
        self._llama.reset()
        self._llama.eval(list(tokens))
        return np.array(self._llama.scores[: len(tokens)], dtype=np.float32)

    def greedy(self, tokens: Sequence[int], stop: int, limit: int) -> list[int]:
        """See TokenModel."""
        out: list[int] = []
        self._llama.reset()
        self._llama.eval(list(tokens))
        while len(out) < limit:
            token = int(np.argmax(self._llama.scores[self._llama.n_tokens - 1]))
            if token == stop:
                break
            out.append(token)
            if len(out) < limit:
                self._llama.eval([token])
        return out


class OnnxModel:
    """An ONNX folder through onnxruntime-genai."""

    def __init__(self, folder: Path) -> None:
        try:
            import onnxruntime_genai as og
        except ImportError as error:
            raise StackMissing("onnxruntime-genai") from error
        self._runtime: Any = og  # the package exports by star from a native module: types end here
        self._model = self._runtime.Model(str(folder))

    def logits(self, tokens: Sequence[int]) -> NDArray[np.float32]:
        """See TokenModel; the runtime hands out the last position only, so this feeds one prefix after another."""
        generator = self._generator(len(tokens) + 1)
        rows: list[NDArray[np.float32]] = []
        for token in tokens:
            generator.append_tokens(np.asarray([[token]], dtype=np.int32))
            rows.append(
                np.array(generator.get_output("logits"), dtype=np.float32).reshape(-1, generator.get_output("logits").shape[-1])[-1]
            )
        return np.stack(rows)

    def greedy(self, tokens: Sequence[int], stop: int, limit: int) -> list[int]:
        """See TokenModel."""
        generator = self._generator(len(tokens) + limit)
        generator.append_tokens(np.asarray([list(tokens)], dtype=np.int32))
        out: list[int] = []
        while len(out) < limit and not generator.is_done():
            generator.generate_next_token()
            token = int(generator.get_next_tokens()[0])
            if token == stop:
                break
            out.append(token)
        return out

    def _generator(self, length: int) -> Any:
        parameters = self._runtime.GeneratorParams(self._model)
        parameters.set_search_options(max_length=length, do_sample=False)
        return self._runtime.Generator(self._model, parameters)


class TransformersModel:
    """The fp32 parent in memory: the reference that flavors are held against."""

    def __init__(self, model: object) -> None:
        import torch
        from transformers import LlamaForCausalLM

        assert isinstance(model, LlamaForCausalLM)
        self._torch = torch
        self._model = model.eval()

    def logits(self, tokens: Sequence[int]) -> NDArray[np.float32]:
        """See TokenModel."""
        with self._torch.inference_mode():
            return self._model(input_ids=self._torch.tensor([list(tokens)])).logits[0].numpy()

    def greedy(self, tokens: Sequence[int], stop: int, limit: int) -> list[int]:
        """See TokenModel."""
        out: list[int] = []
        given = self._torch.tensor([list(tokens)])
        cache = None
        with self._torch.inference_mode():
            while len(out) < limit:
                result = self._model(input_ids=given, past_key_values=cache, use_cache=True)
                cache = result.past_key_values
                token = int(result.logits[0, -1].argmax())
                if token == stop:
                    break
                out.append(token)
                given = self._torch.tensor([[token]])
        return out


def open_flavor(folder: Path) -> tuple[VerifiedModel, TokenModel]:
    """Verify the flavor in `folder`, then open it; raises ManifestError before any parser sees a byte, ExportError for an engine we do not run."""
    verified = load_verified(folder)
    match verified.manifest.engine:
        case "llamacpp":
            return verified, LlamaCppModel(verified.entry, verified.manifest.context_tokens)
        case "onnx":
            return verified, OnnxModel(verified.entry)
        case other:
            raise ExportError(f"{folder}: engine {other!r} is not evaluated here")
