from typing import Any

import pytest
from pydantic import ValidationError
from slipway_shared import errors
from slipway_shared.dialect.chat import ChatRequest

USER = {"role": "user", "content": "hi"}


def request(**fields: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [USER], **fields}


def test_what_the_sdks_send_is_accepted() -> None:
    parsed = ChatRequest.model_validate(
        request(
            messages=[{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}],
            stream=True,
            stream_options={"include_usage": True},
            stop="x",
            max_completion_tokens=5,
            user="u",
            metadata={"k": "v"},
            retrieval={"top_k": 3},
        )
    )
    assert parsed.messages[0].text == "ab"
    assert (parsed.stops, parsed.token_limit) == (["x"], 5)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"temperature": 3}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"n": 1_000_000}, "n"),
        ({"n": 0}, "n"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"seed": 1 << 64}, "seed"),
        ({"stop": [""]}, "stop"),
        ({"stop": ["a"] * 17}, "stop"),
        ({"logit_bias": {"x": 1}}, "logit_bias"),
        ({"logit_bias": {"1": 101}}, "logit_bias"),
        ({"top_logprobs": 21, "logprobs": True}, "top_logprobs"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages"),
        ({"response_format": {"type": "json_schema"}}, "response_format"),
        ({"guided_json": {}}, "guided_json"),
        ({"retrieval": {"top_k": 0}}, "retrieval"),
    ],
)
def test_what_is_out_of_range_is_refused_by_name(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(ValidationError) as caught:
        ChatRequest.model_validate(request(**fields))
    error = errors.from_validation(caught.value.errors())
    assert error.status == 400
    assert (error.param or "").startswith(param)


@pytest.mark.parametrize(
    "fields", [{"messages": [{"role": "user", "content": "  "}]}, {"stream_options": {}}, {"top_logprobs": 2}, {"tool_choice": "required"}]
)
def test_what_contradicts_itself_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ChatRequest.model_validate(request(**fields))


def test_an_unknown_field_is_named_and_the_value_is_not_repeated() -> None:
    with pytest.raises(ValidationError) as caught:
        ChatRequest.model_validate(request(guided_regex="my secret"))
    error = errors.from_validation(caught.value.errors())
    assert error.message == "Unrecognized request argument: guided_regex."
    assert b"secret" not in error.json()
