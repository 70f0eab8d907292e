"""The real vLLM server (its CPU build) behind the engine: masks, tools, adapters, a death. Run by `make test-vllm`."""

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.generator import conftest as process

pytestmark = [
    pytest.mark.vllm,
    # PEFT still calls what transformers is about to rename.
    pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning"),
]

SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 8},
        "kind": {"enum": ["a", "b"]},
        "count": {"type": "integer", "minimum": 0, "maximum": 9},
    },
    "required": ["name", "kind", "count"],
    "additionalProperties": False,
}


def chat(vllm: Any, **fields: Any) -> Any:
    body = {
        "model": vllm.model,
        "messages": [{"role": "user", "content": "the quick brown fox"}],
        "temperature": 0,
        "max_tokens": 120,
        **fields,
    }
    with vllm.client() as client:
        return client.post("/v1/chat/completions", json=body)


def until(check: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.5)


def test_a_schema_holds_without_endless_whitespace(vllm: Any) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "entry", "schema": SCHEMA, "strict": True}}
    for seed in range(5):
        answer = chat(vllm, response_format=form, temperature=1.0, seed=seed).json()["choices"][0]
        assert answer["finish_reason"] == "stop"
        jsonschema.validate(json.loads(answer["message"]["content"]), SCHEMA)


def test_a_named_tool_is_called_with_arguments_as_text(vllm: Any) -> None:
    tools = [{"type": "function", "function": {"name": "look_up", "parameters": SCHEMA}}]
    answer = chat(vllm, tools=tools, parallel_tool_calls=False, tool_choice={"type": "function", "function": {"name": "look_up"}}).json()[
        "choices"
    ][0]
    [call] = answer["message"]["tool_calls"]
    assert answer["finish_reason"] == "tool_calls"
    assert call["function"]["name"] == "look_up"
    jsonschema.validate(json.loads(call["function"]["arguments"]), SCHEMA)


def test_a_schema_that_vllm_cannot_enforce_is_a_400(vllm: Any) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "bad", "schema": {"type": "array", "uniqueItems": True}}}
    assert chat(vllm, response_format=form).status_code == 400
    assert chat(vllm, max_tokens=2).status_code == 200


@pytest.mark.parametrize(
    ("form", "pattern"),
    [
        ({"regex": "[ab]{3}-[0-9]{2}"}, r"[ab]{3}-[0-9]{2}"),
        ({"choice": ["left", "right (a)", "1|2"]}, r"left|right \(a\)|1\|2"),
        ({"grammar": 'start: "n" ("=" NUM)+\nNUM: /[0-9]{1,2}/'}, r"n(=[0-9]{1,2})+"),
        ({"json": {"type": "integer", "minimum": 10, "maximum": 99}}, r"[1-9][0-9]"),
    ],
    ids=["regex", "choice", "grammar", "json"],
)
def test_structured_outputs_hold(vllm: Any, form: dict[str, Any], pattern: str) -> None:
    for seed in range(3):
        said = chat(vllm, structured_outputs=form, temperature=1.0, seed=seed)
        assert said.status_code == 200, said.text
        answer = said.json()["choices"][0]
        cut = "" if answer["finish_reason"] == "stop" else "(=|=[0-9]{1,2})?"
        assert re.fullmatch(pattern + cut, answer["message"]["content"]), answer


def test_a_tool_whose_parameters_refer_to_themselves_is_called(vllm: Any) -> None:
    tree = {"type": "object", "properties": {"n": {"enum": [1, 2]}, "below": {"anyOf": [{"$ref": "#/$defs/tree"}, {"type": "null"}]}}}
    tree |= {"required": ["n", "below"], "additionalProperties": False}
    parameters = {"$defs": {"tree": tree}, "$ref": "#/$defs/tree"}
    tools = [{"type": "function", "function": {"name": "plant", "parameters": parameters}}]
    answer = chat(vllm, tools=tools, parallel_tool_calls=False, tool_choice="required", max_tokens=200).json()["choices"][0]
    if answer["finish_reason"] == "tool_calls":
        jsonschema.validate(json.loads(answer["message"]["tool_calls"][0]["function"]["arguments"]), parameters)
    else:
        assert answer["finish_reason"] == "length"  # a random model may dig for ever


def test_ngram_speculation_changes_no_token_and_is_counted_under_both_names(
    hub_folder: Path, plain_answer: list[int], tmp_path: Path
) -> None:
    """A server of its own that speculates, beside what transformers says."""
    pytest.importorskip("torch", reason="torch is not installed")
    if not os.environ.get("SLIPWAY_GENERATOR_VLLM_PYTHON"):
        pytest.skip("SLIPWAY_GENERATOR_VLLM_PYTHON names no Python with vLLM; `make test-vllm` installs one and sets it")
    ngram = '{"method":"ngram","num_speculative_tokens":4,"prompt_lookup_min":1,"prompt_lookup_max":3}'
    arguments = "--enforce-eager --dtype float32"
    fast = process.start(
        tmp_path, str(hub_folder), "tiny:f32", 600.0, temperature=0, max_adapters=0, vllm_speculative=ngram, vllm_args=arguments
    )
    try:
        body = {"model": fast.model, "prompt": [10, 20, 30, 40] * 6, "max_tokens": 40, "temperature": 0}
        with fast.client() as client:
            said = client.post("/v1/completions", json=body).json()["choices"][0]["text"]
            assert said == client.post("/detokenize", json={"tokens": plain_answer}).json()["prompt"]
        until(lambda: fast.metric("vllm:spec_decode_num_draft_tokens_total") > 0, 60)
        time.sleep(3)  # the server's page is read once a second
        page = _samples(fast)
        drafted, accepted = (page[f'vllm:spec_decode_num_{name}_tokens_total{{model_name="tiny:f32"}}'] for name in ("draft", "accepted"))
        assert 0 <= accepted <= drafted
        assert page['slipway_speculative_tokens_total{result="accepted"}'] == accepted
        assert page['slipway_speculative_tokens_total{result="rejected"}'] == drafted - accepted
        assert chat(fast, min_p=0.5).status_code == 400
    finally:
        process.stop(fast)


def test_a_prompt_that_was_read_before_is_cached_for_its_tenant_only(vllm: Any) -> None:
    def cached(tenant: str) -> int:
        body = {"model": vllm.model, "messages": [{"role": "user", "content": "fox and dog " * 80}], "max_tokens": 2}
        with vllm.client() as client:
            answer = client.post("/v1/chat/completions", json=body, headers={"x-slipway-tenant": tenant})
        return answer.json()["usage"]["prompt_tokens_details"]["cached_tokens"]

    cached("one")
    assert cached("one") > 0
    assert cached("two") == 0


def test_an_adapter_is_applied_by_name_and_survives_a_death(vllm: Any, hub_adapter: Path, adapted_answer: list[int]) -> None:
    def said(name: str) -> Any:
        body = {"model": name, "prompt": [10, 20, 30, 40], "max_tokens": 8, "temperature": 0, "logprobs": 0}
        with vllm.client() as client:
            return client.post("/v1/completions", json=body)

    base = said(vllm.model).json()["choices"][0]["text"]
    with vllm.client() as client:
        loaded = client.post("/v1/load_lora_adapter", json={"lora_name": "tuned", "lora_path": hub_adapter.name})
        assert loaded.status_code == 200, loaded.text
        expected = client.post("/detokenize", json={"tokens": adapted_answer}).json()["prompt"]
    assert said("tuned").json()["choices"][0]["text"] == expected != base
    _kill_server_of(vllm.process.pid)
    with vllm.client() as client:
        until(lambda: client.get("/readyz").status_code != 200, 30)
        until(lambda: client.get("/readyz").status_code == 200, 600)
    assert said("tuned").json()["choices"][0]["text"] == expected
    assert said(vllm.model).json()["choices"][0]["text"] == base


def _samples(generator: Any) -> dict[str, float]:
    with generator.client() as client:
        lines = client.get("/metrics").text.splitlines()
    return {line.split(" ")[0]: float(line.split(" ")[1]) for line in lines if line.startswith(("vllm:", "slipway_speculative"))}


def _kill_server_of(parent: int) -> None:
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(parent)], capture_output=True, text=True, check=True).stdout.split()
    for one in listed:
        os.kill(int(one), signal.SIGKILL)
