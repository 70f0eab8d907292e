"""What every engine promises, through the real process: one file, run over each engine that is installed."""

import json
import threading
import time
from collections.abc import Callable
from typing import Any

import openai
import pytest

LONG = "the quick brown fox jumps over the lazy dog while slipway serves small language models on laptops " * 3


@pytest.fixture(params=["echo", "tiny", "onnx", pytest.param("vllm", marks=pytest.mark.vllm)])
def generator(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(request.param)


def chat(generator: Any, content: str = LONG, **fields: Any) -> dict[str, Any]:
    body = {"model": generator.model, "messages": [{"role": "user", "content": content}], "temperature": 0, "max_tokens": 24, **fields}
    with generator.client() as client:
        response = client.post("/v1/chat/completions", json=body)
    assert response.status_code == 200, response.text
    return response.json()


def frames(generator: Any, content: str = LONG, headers: dict[str, str] | None = None, **fields: Any) -> list[dict[str, Any]]:
    """The events of a stream; `[DONE]` and error events become {"done": True} and {"error": ...}."""
    body = {
        "model": generator.model,
        "messages": [{"role": "user", "content": content}],
        "temperature": 0,
        "max_tokens": 24,
        "stream": True,
        **fields,
    }
    with generator.client() as client, client.stream("POST", "/v1/chat/completions", json=body, headers=headers) as response:
        assert response.status_code == 200, response.read()
        lines = [line.removeprefix("data: ") for line in response.iter_lines() if line.startswith("data: ")]
    return [{"done": True} if line == "[DONE]" else json.loads(line) for line in lines]


def joined(events: list[dict[str, Any]], index: int = 0) -> str:
    choices = [choice for event in events for choice in event.get("choices", ()) if choice["index"] == index]
    return "".join(choice["delta"].get("content") or "" for choice in choices)


def eventually(check: Callable[[], bool], seconds: float = 5.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if check():
            return True
        time.sleep(0.02)
    return check()


def test_a_stream_says_what_the_object_says(generator: Any) -> None:
    whole = chat(generator)
    events = frames(generator, stream_options={"include_usage": True})
    assert joined(events) == whole["choices"][0]["message"]["content"] != ""
    assert events[-1] == {"done": True}
    assert events[-2]["choices"] == []
    for name in ("prompt_tokens", "completion_tokens", "total_tokens"):
        assert events[-2]["usage"][name] == whole["usage"][name] > 0
    assert all(event["usage"] is None for event in events[:-2])
    assert [event["choices"][0]["finish_reason"] for event in events[:-2]][-1] == whole["choices"][0]["finish_reason"]
    assert events[0]["choices"][0]["delta"]["role"] == "assistant"
    assert all("role" not in event["choices"][0]["delta"] for event in events[1:-2])


def test_without_include_usage_no_frame_names_it(generator: Any) -> None:
    assert all("usage" not in event for event in frames(generator))


def test_the_limit_is_exact_and_named(generator: Any) -> None:
    answer = chat(generator, max_tokens=3)
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["usage"]["completion_tokens"] == 3
    assert answer["usage"]["total_tokens"] == answer["usage"]["prompt_tokens"] + 3


def test_a_stop_string_across_token_borders_ends_the_answer_before_it(generator: Any) -> None:
    text = chat(generator)["choices"][0]["message"]["content"]
    for start in range(1, len(text) - 3, max(1, len(text) // 4)):
        stop = text[start : start + 3]
        expected = text[: text.index(stop)]
        answer = chat(generator, stop=["never there", stop])["choices"][0]
        assert (answer["message"]["content"], answer["finish_reason"]) == (expected, "stop")
        assert joined(frames(generator, stop=stop)) == expected


def test_n_answers_are_told_apart_and_the_prompt_counts_once(generator: Any) -> None:
    one, three = chat(generator), chat(generator, n=3)
    assert [choice["index"] for choice in three["choices"]] == [0, 1, 2]
    assert {choice["message"]["content"] for choice in three["choices"]} == {one["choices"][0]["message"]["content"]}
    assert three["usage"]["prompt_tokens"] == one["usage"]["prompt_tokens"]
    assert three["usage"]["completion_tokens"] == 3 * one["usage"]["completion_tokens"]
    streamed = frames(generator, n=3)
    assert [joined(streamed, index) for index in range(3)] == [choice["message"]["content"] for choice in three["choices"]]


def test_a_seed_repeats_and_another_seed_differs(generator: Any) -> None:
    def sampled(seed: int) -> str:
        return chat(generator, temperature=1.5, seed=seed)["choices"][0]["message"]["content"]

    assert sampled(5) == sampled(5)
    assert len({sampled(seed) for seed in range(6)}) > 1


def test_logprobs_have_openais_shape(generator: Any) -> None:
    answer = chat(generator, logprobs=True, top_logprobs=2)
    entries = answer["choices"][0]["logprobs"]["content"]
    assert len(entries) == answer["usage"]["completion_tokens"]
    for entry in entries:
        assert set(entry) == {"token", "logprob", "bytes", "top_logprobs"}
        assert entry["logprob"] <= 0
        assert bytes(entry["bytes"]).decode(errors="replace") == entry["token"]
        # Greedy: the token that was drawn is the likeliest one.
        assert entry["top_logprobs"][0]["token"] == entry["token"]
        assert [top["logprob"] for top in entry["top_logprobs"]] == sorted((top["logprob"] for top in entry["top_logprobs"]), reverse=True)
    spelled = b"".join(bytes(entry["bytes"]) for entry in entries).decode(errors="replace")
    assert spelled == answer["choices"][0]["message"]["content"]
    assert chat(generator)["choices"][0]["logprobs"] is None
    streamed = [entry for event in frames(generator, logprobs=True, top_logprobs=2) for choice in event.get("choices", ())
                for entry in (choice["logprobs"] or {"content": []})["content"]]  # fmt: skip
    assert [entry["token"] for entry in streamed] == [entry["token"] for entry in entries]


def test_completions_echo_the_prompt_with_its_logprobs(generator: Any) -> None:
    with generator.client() as client:
        body = {"model": generator.model, "prompt": "the lazy dog", "max_tokens": 4, "temperature": 0, "logprobs": 1, "echo": True}
        answer = client.post("/v1/completions", json=body).json()
        scored = client.post("/v1/completions", json={**body, "max_tokens": 0}).json()
        tokens = client.post("/tokenize", json={"prompt": "the lazy dog"}).json()
    choice, prompt = answer["choices"][0], answer["usage"]["prompt_tokens"]
    assert prompt == tokens["count"]
    lists = choice["logprobs"]
    assert choice["text"].startswith("the lazy dog")
    assert lists["token_logprobs"][0] is None
    assert all(value <= 0 for value in lists["token_logprobs"][1:])
    assert (
        len(lists["tokens"]) == len(lists["token_logprobs"]) == len(lists["text_offset"]) == prompt + answer["usage"]["completion_tokens"]
    )
    assert "".join(lists["tokens"][:prompt]) == "the lazy dog"
    assert scored["usage"]["completion_tokens"] == 0
    assert scored["choices"][0]["text"] == "the lazy dog"
    assert scored["choices"][0]["logprobs"]["token_logprobs"][1:] == pytest.approx(lists["token_logprobs"][1:prompt], abs=0.1)


def test_several_prompts_are_answered_in_their_order(generator: Any) -> None:
    with generator.client() as client:
        body = {"model": generator.model, "max_tokens": 4, "temperature": 0}
        both = client.post("/v1/completions", json={**body, "prompt": ["the fox", "a dog jumps"], "n": 2}).json()
        each = [client.post("/v1/completions", json={**body, "prompt": prompt}).json() for prompt in ("the fox", "a dog jumps")]
    assert [choice["text"] for choice in both["choices"]] == [each[0]["choices"][0]["text"]] * 2 + [each[1]["choices"][0]["text"]] * 2
    assert both["usage"]["prompt_tokens"] == sum(one["usage"]["prompt_tokens"] for one in each)


def test_text_survives_tokenize_and_detokenize(generator: Any) -> None:
    text = "naïve café, 12 345 Füße — 漢字 \U0001f680\n\ttab <|im_end|><|end|>"
    with generator.client() as client:
        tokens = client.post("/tokenize", json={"prompt": text}).json()
        back = client.post("/detokenize", json={"tokens": tokens["tokens"]}).json()
        beyond = client.post("/detokenize", json={"tokens": [(1 << 53) - 1]})
    assert tokens["count"] == len(tokens["tokens"]) > 0
    assert back["prompt"] == text
    assert beyond.status_code == 400


def test_the_prompt_of_a_chat_is_what_tokenize_says(generator: Any) -> None:
    with generator.client() as client:
        count = client.post("/tokenize", json={"messages": [{"role": "user", "content": LONG}]}).json()["count"]
    assert chat(generator)["usage"]["prompt_tokens"] == count


def test_special_tokens_in_a_message_are_text(generator: Any) -> None:
    with generator.client() as client:

        def count(content: str) -> list[int]:
            return client.post("/tokenize", json={"messages": [{"role": "user", "content": content}]}).json()["tokens"]

        for special in ("<|im_end|>", "<|end|>", "<|im_start|>system\n", "<|assistant|>"):
            plain, spelled = count("a b"), count(f"a {special} b")
            alone = client.post("/tokenize", json={"prompt": special}).json()["tokens"]
            # Were it one token, the prompt would grow by one or two; as text it grows by about its spelling.
            assert len(spelled) - len(plain) >= len(alone) - 2 > 1


def test_a_prompt_that_does_not_fit_is_a_400_with_the_numbers(generator: Any) -> None:
    with generator.client() as client:
        limit = client.get("/v1/models").json()["data"][0]["context_tokens"]
        body = {"model": generator.model, "messages": [{"role": "user", "content": "fox " * limit * 2}]}
        long = client.post("/v1/chat/completions", json=body)
        huge = client.post("/v1/chat/completions", json={**body, "messages": [{"role": "user", "content": "x" * 1_000_000}]})
        greedy = client.post("/v1/chat/completions", json={**body, "messages": [{"role": "user", "content": "fox"}], "max_tokens": limit})
    for response in (long, huge, greedy):
        assert response.status_code == 400
        assert response.json()["error"]["code"] == "context_length_exceeded"
        assert str(limit) in response.json()["error"]["message"]


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"model": "other"}, 404, "model_not_found"),
        ({"n": 1_000_000}, 400, None),
        ({"max_tokens": 0}, 400, None),
        ({"max_tokens": -1}, 400, None),
        ({"temperature": 1e9}, 400, None),
        ({"top_p": 0}, 400, None),
        ({"logit_bias": {"-1": 1}}, 400, None),
        ({"logit_bias": {"99999999": 1}}, 400, None),
        ({"logit_bias": {"1": 1000}}, 400, None),
        ({"top_logprobs": 99, "logprobs": True}, 400, None),
        ({"top_logprobs": 2}, 400, None),
        ({"stop": ["x"] * 17}, 400, None),
        ({"stop": [""]}, 400, None),
        ({"seed": 1 << 70}, 400, None),
        ({"messages": []}, 400, None),
        ({"messages": [{"role": "user", "content": "  "}]}, 400, None),
        ({"messages": [{"role": "god", "content": "x"}]}, 400, None),
        ({"chat_template": "{{ 1 }}"}, 400, "unknown_parameter"),
        ({"guided_json": {}}, 400, "unknown_parameter"),
    ],
)  # fmt: skip
def test_bad_requests_are_refused_by_name_and_the_engine_lives(
    generator: Any, change: dict[str, Any], status: int, code: str | None
) -> None:
    body = {"model": generator.model, "messages": [{"role": "user", "content": "fox"}], "max_tokens": 4, **change}
    with generator.client() as client:
        response = client.post("/v1/chat/completions", json=body)
        assert response.status_code == status, response.text
        assert set(response.json()["error"]) == {"message", "type", "param", "code"}
        assert code is None or response.json()["error"]["code"] == code
        assert client.get("/readyz").status_code == 200
    assert chat(generator, max_tokens=2)["usage"]["completion_tokens"] == 2


def test_bodies_that_are_no_json_are_400(generator: Any) -> None:
    with generator.client() as client:
        for raw in (b"{", b"\xff\xfe", b"[" * 50_000, b"null"):
            response = client.post("/v1/chat/completions", content=raw, headers={"content-type": "application/json"})
            assert response.status_code == 400
            assert response.json()["error"]["type"] == "invalid_request_error"


def test_a_deadline_ends_a_stream_with_an_error_and_no_done(generator: Any) -> None:
    with generator.client() as client:
        limit = client.get("/v1/models").json()["data"][0]["context_tokens"]
        headers = {"x-slipway-deadline-ms": "1"}
        body = {"model": generator.model, "messages": [{"role": "user", "content": LONG}], "max_tokens": limit // 3, "logit_bias": {}}
        response = client.post("/v1/chat/completions", json=body, headers=headers)
        assert response.status_code in (200, 504)  # a tiny model may be done in a millisecond
        assert response.status_code == 200 or response.json()["error"]["code"] == "deadline_exceeded"
        assert client.get("/readyz").status_code == 200


def test_a_caller_that_leaves_frees_its_sequence(generator: Any) -> None:
    body = {"model": generator.model, "messages": [{"role": "user", "content": LONG}], "temperature": 1.3, "stream": True}
    with generator.client() as client, client.stream("POST", "/v1/chat/completions", json=body) as response:
        next(response.iter_lines())
    assert eventually(lambda: generator.metric("vllm:num_requests_running") == 0)
    assert chat(generator, max_tokens=2)["usage"]["completion_tokens"] == 2


def test_many_at_once_get_what_each_gets_alone(generator: Any) -> None:
    questions = [f"{word} " * 9 for word in ("fox", "dog", "lazy", "quick", "models", "serves")]
    alone = [chat(generator, question)["choices"][0]["message"]["content"] for question in questions]
    together: dict[int, str] = {}

    def ask(index: int) -> None:
        together[index] = joined(frames(generator, questions[index]))

    threads = [threading.Thread(target=ask, args=(index,)) for index in range(len(questions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [together[index] for index in range(len(questions))] == alone


def test_the_model_entry_says_what_is_served(generator: Any) -> None:
    with generator.client() as client:
        entry = client.get("/v1/models").json()["data"][0]
    assert entry["id"] == generator.model
    assert set(entry) == {"id", "object", "created", "owned_by", "digest", "kind", "engine", "context_tokens", "device_classes", "eval"}
    assert chat(generator, max_tokens=1)["system_fingerprint"] == entry["digest"]


def test_metrics_count_what_was_done(generator: Any) -> None:
    before = generator.metric("slipway_generate_tokens_total") if chat(generator) else 0.0
    usage = chat(generator)["usage"]
    assert generator.metric("slipway_generate_tokens_total") - before == usage["total_tokens"]
    for name in ("ttft", "gap", "queue", "prefill", "decode"):
        assert generator.metric(f"slipway_generate_{name}_seconds_count") > 0
    for name in ("num_requests_running", "num_requests_waiting", "kv_cache_usage_perc"):
        assert generator.metric(f"vllm:{name}") == 0
    assert generator.metric("slipway_generate_cpu_seconds_total") > 0
    assert generator.metric("slipway_start_seconds") > 0


def test_the_official_client_reads_our_streams(generator: Any) -> None:
    client = openai.OpenAI(base_url=f"{generator.base}/v1", api_key="unused")
    with client.chat.completions.create(
        model=generator.model, messages=[{"role": "user", "content": LONG}], temperature=0, max_tokens=24, stream=True
    ) as stream:
        text = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
    assert text == chat(generator)["choices"][0]["message"]["content"]
    client.close()


def test_a_silent_stream_carries_comments_and_then_its_answer(starts: Any) -> None:
    running = starts("echo", "echo", echo_first_seconds=0.7, keepalive_seconds=0.2)
    body = {"model": "echo", "prompt": "one two three", "max_tokens": 3, "stream": True}
    with running.client() as client, client.stream("POST", "/v1/completions", json=body) as response:
        events = [event for event in response.read().decode().split("\n\n") if event]
    comments = [event for event in events if event.startswith(":")]
    assert len(comments) >= 2
    assert events[: len(comments)] == comments
    assert events[-1] == "data: [DONE]"
