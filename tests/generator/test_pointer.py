"""The reader that points, as a real process over the shipped weights: quotes, citations, "not held", and the contract of every engine."""

import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from slipway_generator.engines.byteruns import SPECIALS, ByteRuns, turns
from slipway_generator.engines.pointer import parts
from slipway_shared.grounding import NOT_IN_SOURCES, citations, is_grounded, passages_message

from tests.generator import conftest as process

FOLDER = Path(__file__).parents[2] / "models" / "slipway-reader" / "int8"
PASSAGES = [
    "Redis keeps the token buckets of every tenant. It is asked once a request.",
    "The edge listens on port 8080; the variable SLIPWAY_PORT moves it. The internal listener is moved by SLIPWAY_INTERNAL_PORT.",
    "The Amazon rainforest covers most of the Amazon basin of South America, an area of 7,000,000 square kilometres.",
]


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[process.Running]:
    if not FOLDER.is_dir():
        pytest.skip("models/ holds no pointer flavor")
    running = process.start(tmp_path_factory.mktemp("pointer"), str(FOLDER), "slipway-reader:int8", 60.0)
    yield running
    process.stop(running)


def body(question: str, passages: list[str] | None = None, **fields: Any) -> dict[str, Any]:
    system = passages_message(PASSAGES if passages is None else passages)
    return {"model": "slipway-reader", "messages": [{"role": "system", "content": system}, {"role": "user", "content": question}], **fields}


def ask(reader: process.Running, question: str, passages: list[str] | None = None, **fields: Any) -> dict[str, Any]:
    with reader.client() as client:
        response = client.post("/v1/chat/completions", json=body(question, passages, **fields))
    assert response.status_code == 200, response.text
    return response.json()


def said(answer: dict[str, Any]) -> str:
    return answer["choices"][0]["message"]["content"]


def streamed(reader: process.Running, question: str, **fields: Any) -> tuple[str, dict[str, Any]]:
    asked = body(question, stream=True, stream_options={"include_usage": True}, **fields)
    with reader.client() as client, client.stream("POST", "/v1/chat/completions", json=asked) as response:
        lines = [line.removeprefix("data: ") for line in response.iter_lines() if line.startswith("data: ")]
    events = [json.loads(line) for line in lines[:-1]]
    assert lines[-1] == "[DONE]"
    return "".join(choice["delta"].get("content") or "" for event in events for choice in event["choices"]), events[-1]["usage"]


@pytest.mark.parametrize(
    ("question", "words", "number"),
    [
        ("What port does the edge listen on?", "8080", 2),
        ("Which variable moves the internal listener?", "SLIPWAY_INTERNAL_PORT", 2),
        ("How many square kilometres does the Amazon rainforest cover?", "7,000,000", 3),
    ],
)
def test_it_quotes_and_cites(reader: process.Running, question: str, words: str, number: int) -> None:
    answer = said(ask(reader, question))
    assert words in answer
    assert [mark.number for mark in citations(answer, len(PASSAGES))] == [number]
    assert is_grounded(answer, PASSAGES)


def test_what_no_passage_holds_is_said_to_be_missing(reader: process.Running) -> None:
    assert said(ask(reader, "Who painted the Mona Lisa?")) == NOT_IN_SOURCES
    assert said(ask(reader, "Who painted the Mona Lisa?", [])) == NOT_IN_SOURCES
    assert said(ask(reader, "Which port?", ["", "  "])) == NOT_IN_SOURCES


def test_a_stream_says_what_the_object_says(reader: process.Running) -> None:
    question = "What port does the edge listen on?"
    whole = ask(reader, question)
    text, usage = streamed(reader, question)
    assert text == said(whole)
    assert usage == whole["usage"]
    assert usage["completion_tokens"] == len(ByteRuns().encode(text))


def test_limits_and_stop_strings_hold(reader: process.Running) -> None:
    question = "What port does the edge listen on?"
    short = ask(reader, question, max_tokens=1)
    assert short["choices"][0]["finish_reason"] == "length"
    assert short["usage"]["completion_tokens"] == 1
    stopped = ask(reader, question, stop=["80 ["])
    assert stopped["choices"][0]["finish_reason"] == "stop"
    assert "80 [" not in said(stopped)


def test_the_probability_of_the_span_is_told(reader: process.Running) -> None:
    entries = ask(reader, "What port does the edge listen on?", logprobs=True)["choices"][0]["logprobs"]["content"]
    assert -1.0 < entries[0]["logprob"] <= 0.0
    assert all(entry["logprob"] == 0.0 for entry in entries[1:])


def test_an_answer_far_inside_a_long_passage_is_found(reader: process.Running) -> None:
    filler = "The committee met again and talked about the weather of the coming week. " * 60
    answer = said(ask(reader, "What port does the edge listen on?", [f"{filler}The edge listens on port 8080. {filler}"]))
    assert "8080" in answer


@pytest.mark.parametrize(
    "change",
    [
        {"response_format": {"type": "json_object"}},
        {"tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": "required"},
    ],
)
def test_what_a_pointer_cannot_do_is_refused_and_it_lives(reader: process.Running, change: dict[str, Any]) -> None:
    with reader.client() as client:
        response = client.post("/v1/chat/completions", json=body("Which port?", **change))
        assert response.status_code == 400
        assert response.json()["error"]["code"] == "unsupported_parameter"
        scored = client.post(
            "/v1/completions", json={"model": "slipway-reader", "prompt": "a", "echo": True, "logprobs": 1, "max_tokens": 0}
        )
        assert scored.status_code == 400
    assert "8080" in said(ask(reader, "What port does the edge listen on?"))


def test_a_prompt_that_does_not_fit_is_a_400(reader: process.Running) -> None:
    with reader.client() as client:
        response = client.post("/v1/chat/completions", json=body("fox " * 20_000))
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "context_length_exceeded"


def test_many_at_once_get_what_each_gets_alone(reader: process.Running) -> None:
    questions = [
        "What port does the edge listen on?",
        "How many square kilometres does the Amazon rainforest cover?",
        "What keeps the token buckets?",
        "Who is the king?",
    ]
    alone = [said(ask(reader, question)) for question in questions]
    together: dict[int, str] = {}

    def answer(at: int) -> None:
        together[at] = said(ask(reader, questions[at]))

    threads = [threading.Thread(target=answer, args=(at,)) for at in range(len(questions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [together[at] for at in range(len(questions))] == alone


def test_a_changed_byte_ends_the_start(tmp_path: Path) -> None:
    if not FOLDER.is_dir():
        pytest.skip("models/ holds no pointer flavor")
    shutil.copytree(FOLDER, tmp_path / "altered")
    raw = bytearray((tmp_path / "altered" / "model.onnx").read_bytes())
    raw[1000] ^= 1
    (tmp_path / "altered" / "model.onnx").write_bytes(raw)
    with pytest.raises(AssertionError, match="was altered"):
        process.start(tmp_path, str(tmp_path / "altered"), "slipway-reader:int8")


def test_a_prompt_is_read_back_into_its_parts() -> None:
    tokenizer = ByteRuns()

    def turn(role: str, text: str) -> list[int]:
        return [SPECIALS[f"<|{role}|>"], *tokenizer.encode(text), SPECIALS["<|end|>"]]

    prompt = [
        *turn("system", "[1] naïve café\n[2] two [ 3] x"),
        *turn("user", "old?"),
        *turn("assistant", "no"),
        *turn("user", " Which? "),
        3,
    ]
    assert parts(prompt) == ([1, 2], ["naïve café", "two [ 3] x"], "Which?")
    assert turns(tokenizer.encode("plain")) == [("user", "plain")]
