"""lm-eval's `local-completions` against our endpoint: the log-likelihoods are those that llama.cpp gives for the same weights, asked directly."""

import ctypes
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import llama_cpp as untyped
import numpy as np
import pytest

pytestmark = [
    pytest.mark.system,
    pytest.mark.timeout(240),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # lm-eval's own imports
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
llama_cpp: Any = untyped
MODELS = Path(__file__).parents[2] / "models" / "slipway-reader-llama"
if not MODELS.is_dir():
    pytest.skip("models/ holds no decoder", allow_module_level=True)
PAIRS = [
    ("What port does the edge listen on?", " The edge listens on port 8080."),
    ("What port does the edge listen on?", " A cheese is made from milk."),
    ("The sources do not", " hold the answer."),
    ("Paris is the capital of", " France"),
    ("Paris is the capital of", " Mondays and spoons"),
    ("one two three four", " five six\nseven"),
]


class Direct:
    """The weights in llama.cpp, without anything of ours between."""

    def __init__(self) -> None:
        llama_cpp.llama_backend_init()
        parameters = llama_cpp.llama_model_default_params()
        self.model = llama_cpp.llama_model_load_from_file(str(MODELS / "int8" / "model.gguf").encode(), parameters)
        self.words = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(self.model))

    def loglikelihood(self, context: list[int], continuation: list[int]) -> tuple[float, bool]:
        """Sum of the continuation's log-probabilities, and whether each of its tokens is the likeliest."""
        settings = llama_cpp.llama_context_default_params()
        settings.n_ctx = settings.n_batch = 256
        settings.n_threads = settings.n_threads_batch = 1
        opened = llama_cpp.llama_init_from_model(self.model, settings)
        ids = [*context, *continuation]
        batch = llama_cpp.llama_batch_init(len(ids), 0, 1)
        for at, token in enumerate(ids):
            batch.token[at], batch.pos[at], batch.n_seq_id[at], batch.seq_id[at][0], batch.logits[at] = token, at, 1, 0, 1
        batch.n_tokens = len(ids)
        assert llama_cpp.llama_decode(opened, batch) == 0
        total, greedy = 0.0, True
        for at in range(len(context), len(ids)):
            pointer = llama_cpp.llama_get_logits_ith(opened, at - 1)
            logits = np.ctypeslib.as_array(ctypes.cast(pointer, ctypes.POINTER(ctypes.c_float)), (self.words,)).astype(np.float64)
            total += float(logits[ids[at]] - logits.max() - math.log(np.exp(logits - logits.max()).sum()))
            greedy = greedy and int(logits.argmax()) == ids[at]
        llama_cpp.llama_batch_free(batch)
        llama_cpp.llama_free(opened)
        return total, greedy


@pytest.fixture(scope="module")
def direct() -> Iterator[Direct]:
    made = Direct()
    yield made
    llama_cpp.llama_model_free(made.model)


def test_loglikelihoods_are_the_models_own(house: Any, direct: Direct, monkeypatch: pytest.MonkeyPatch) -> None:
    from lm_eval.api.instance import Instance
    from lm_eval.models import openai_completions

    made: Any = openai_completions.LocalCompletionsAPI
    monkeypatch.setenv("OPENAI_API_KEY", house.key)
    harness = made(
        base_url=f"{house.url}/v1/completions",
        model=house.model,
        tokenizer_backend="huggingface",
        tokenizer=str(MODELS / "int4-onnx"),
        max_length=512,
        num_concurrent=1,
        max_retries=1,
        batch_size=2,
    )
    asked = [Instance("loglikelihood", {}, pair, n) for n, pair in enumerate(PAIRS)]
    told = harness.loglikelihood(asked, disable_tqdm=True)
    for pair, (likelihood, greedy) in zip(PAIRS, told, strict=True):
        context, continuation = harness._encode_pair(*pair)  # the cut that the harness itself makes
        likely, greedily = direct.loglikelihood(context, continuation)
        assert likelihood == pytest.approx(likely, abs=0.02), pair  # products of other shapes round otherwise
        assert greedy == greedily, pair
    assert told[3][0] > told[4][0], "the model knows France from spoons"


def test_generation_stops_where_the_harness_says(house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from lm_eval.api.instance import Instance
    from lm_eval.models import openai_completions

    made: Any = openai_completions.LocalCompletionsAPI
    monkeypatch.setenv("OPENAI_API_KEY", house.key)
    harness = made(base_url=f"{house.url}/v1/completions", model=house.model, tokenizer_backend="none", num_concurrent=1, max_retries=1)
    asked = [Instance("generate_until", {}, ("The sources do not hold", {"until": ["."], "max_gen_toks": 8}), 0)]
    said = harness.generate_until(asked, disable_tqdm=True)
    assert said[0] and "." not in said[0]
