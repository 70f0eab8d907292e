"""The running whole while one of its parts is dead: what is still answered, what is refused, and that it heals."""

import re
from typing import Any

import httpx
import pytest

pytestmark = [pytest.mark.system, pytest.mark.timeout(400)]


def degraded(platform: Any, part: str) -> float:
    """How often the gateway went on without `part`."""
    text = httpx.get(f"http://127.0.0.1:{platform.env['SLIPWAY_GATEWAY_PORT']}/metrics", trust_env=False).text
    return sum(float(value) for value in re.findall(rf'^slipway_degraded_total{{[^}}]*part="{part}"[^}}]*}} (\S+)', text, re.MULTILINE))


def kinds(message: dict[str, Any]) -> set[str]:
    return {note["type"] for note in message["annotations"]}


def test_without_the_generator_answers_are_quotes_from_the_documents(platform: Any) -> None:
    with platform.without("generator"):
        message = platform.ask()
    assert kinds(message) == {"fallback", "file_citation"}
    assert "8080" in message["content"]


def test_without_the_retriever_an_answer_cites_nothing_and_is_marked(platform: Any) -> None:
    before = degraded(platform, "retriever")
    with platform.without("retriever"):
        message = platform.ask()
        assert degraded(platform, "retriever") > before
    # A chat model's words are marked ungrounded; a reader has nothing to quote and abstains.
    assert kinds(message) in ({"ungrounded"}, {"abstention"})


def test_without_the_reranker_the_order_of_the_search_stands(platform: Any) -> None:
    before = degraded(platform, "reranker")
    with platform.without("reranker"):
        message = platform.ask()
        assert degraded(platform, "reranker") > before
    assert message["content"]


def test_without_the_safety_filter_nothing_is_answered(platform: Any) -> None:
    with platform.without("safety"), pytest.raises(httpx.HTTPStatusError) as refused:
        platform.ask()
    assert refused.value.response.status_code == 503
    assert refused.value.response.json()["error"]["code"]


def test_without_redis_requests_are_still_served(platform: Any) -> None:
    with platform.without("redis"):
        assert platform.ask()["content"]


def test_without_the_gateway_the_edge_says_so_in_the_dialect(platform: Any) -> None:
    with platform.without("gateway"), platform.client() as client:
        answer = client.get("/v1/models")
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "overloaded"
    assert answer.headers["retry-after"]


def test_without_envoy_there_is_no_door_and_then_there_is_one_again(platform: Any) -> None:
    with platform.without("envoy"), platform.client() as client, pytest.raises(httpx.ConnectError):
        client.get("/v1/models")
    assert platform.ask()["content"]
