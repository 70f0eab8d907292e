"""The real vLLM server (its CPU build) behind the engine: masks, tools, adapters, a death. Run by `make test-vllm`."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

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


def _kill_server_of(parent: int) -> None:
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(parent)], capture_output=True, text=True, check=True).stdout.split()
    for process in listed:
        os.kill(int(process), signal.SIGKILL)
