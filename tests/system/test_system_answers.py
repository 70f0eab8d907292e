"""What users get from the running whole: cited answers, files that become answers, and errors that say what is wrong."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletionChunk

pytestmark = [pytest.mark.system, pytest.mark.timeout(400)]
ROOT = Path(__file__).parents[2]
QUESTION = "What port does the edge listen on?"
PAGES = re.compile(r"(getting-started|configuration|operations)\.md")
"""The pages of docs/ that tell the edge's port."""
has_reader = pytest.mark.skipif(not (ROOT / "models" / "slipway-reader").is_dir(), reason="models/ holds no reader yet")


def citations(notes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [note for note in notes if note["type"] == "file_citation"]


@has_reader
def test_up_prints_a_grounded_answer_with_its_source_and_where_everything_is(platform: Any) -> None:
    assert QUESTION in platform.printed
    assert "8080" in platform.printed.split(QUESTION)[1].split("base URL")[0]
    assert PAGES.search(platform.printed)
    assert f"{platform.base_url}/v1" in platform.printed
    assert f"{platform.base_url}/#key={platform.key}" in platform.printed
    assert platform.home.key.read_text().strip() == platform.key


@has_reader
def test_the_documented_script_streams_a_cited_answer(platform: Any) -> None:
    env = {**os.environ, "SLIPWAY_BASE_URL": f"{platform.base_url}/v1", "SLIPWAY_API_KEY": platform.key}
    done = subprocess.run(
        [sys.executable, str(ROOT / "docs" / "examples" / "ask.py"), QUESTION],
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "8080" in done.stdout
    assert re.search(r"\[[1-5]\]", done.stdout)
    assert PAGES.search(done.stdout)


@has_reader
def test_a_streamed_answer_equals_the_whole_one_and_counts_the_same(platform: Any) -> None:
    client = openai.OpenAI(base_url=f"{platform.base_url}/v1", api_key=platform.key, max_retries=0)
    asked: dict[str, Any] = {
        "model": platform.model(), "messages": [{"role": "user", "content": QUESTION}], "extra_body": {"retrieval": {"top_k": 5}}, "temperature": 0,
    }  # fmt: skip
    whole = client.chat.completions.create(**asked)
    chunks: list[ChatCompletionChunk] = list(client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True}))
    deltas = [choice.delta for chunk in chunks for choice in chunk.choices]
    notes: list[dict[str, Any]] = [note for delta in deltas for note in (delta.model_extra or {}).get("annotations") or []]
    assert "".join(delta.content or "" for delta in deltas) == whole.choices[0].message.content
    kept = whole.choices[0].message.model_dump()["annotations"]
    assert [(note["type"], note.get("passage_id")) for note in notes] == [(note["type"], note.get("passage_id")) for note in kept]
    assert citations(notes)
    assert chunks[-1].usage is not None
    assert whole.usage is not None
    assert chunks[-1].usage.total_tokens == whole.usage.total_tokens > 0


def test_a_question_that_no_document_answers_gets_a_typed_abstention(platform: Any) -> None:
    message = platform.ask("Zyzzogeton quoxinating flibbertwhimsy?")
    assert [note["type"] for note in message["annotations"]] == ["abstention"]


@pytest.mark.parametrize(
    ("request_of", "status", "code"),
    [
        ({"content": b'{"model": "x", "messages": ['}, 400, "invalid_json"),
        ({"content": b"[" * 100_000}, 400, "invalid_json"),
        ({"content": b"\xff\xfe\x00"}, 400, "invalid_json"),
        ({"json": {"model": "no-such-model", "messages": [{"role": "user", "content": "hi"}]}}, 404, "model_not_found"),
        ({"json": {"model": "x", "messages": []}}, 400, None),
        ({"json": {"model": "x", "messages": [{"role": "user", "content": "  "}]}}, 400, None),
        ({"json": {"model": "x", "messages": [{"role": "user", "content": "hi"}], "temprature": 1}}, 400, "unknown_parameter"),
        ({"content": b"0" * 20_000_000}, 413, "request_too_large"),
        ({"json": {}, "headers": {"authorization": ""}}, 401, "missing_api_key"),
        ({"json": {}, "headers": {"authorization": "Bearer sk-somebody-elses-key-000000"}}, 401, "invalid_api_key"),
    ],
    ids=[
        "cut json",
        "deep json",
        "no text",
        "unknown model",
        "no messages",
        "empty message",
        "unknown field",
        "20 MB",
        "no key",
        "wrong key",
    ],
)
def test_bad_input_gets_an_error_object_and_everything_still_serves(
    platform: Any, request_of: dict[str, Any], status: int, code: str | None
) -> None:
    with platform.client() as client:
        headers = {"content-type": "application/json", **request_of.pop("headers", {})}
        answer = client.post("/v1/chat/completions", headers=headers, **request_of)
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), answer.text
        assert answer.json()["error"]["message"]
        assert client.get("/v1/models").status_code == 200


def test_files_are_read_once_replaced_when_they_change_and_failures_named(platform: Any, tmp_path: Path) -> None:
    (tmp_path / "harbour.md").write_text("# Harbour\n\nThe harbour master of Quillport is Adela Venn.\n")
    (tmp_path / "broken.pdf").write_bytes(b"%PDF-1.7\n1 0 obj <</Type /Catalog /Pages 2 0 R>> endobj\ntrailer <</Root 1 0 R>>\n%%EOF")
    first = platform.cli("ingest", tmp_path, "--store", "harbours")
    assert first.returncode == 1
    assert "1 files added" in first.stdout
    assert "✗ broken.pdf" in first.stdout
    (tmp_path / "broken.pdf").unlink()
    assert "0 files added, 0 replaced, 1 unchanged" in platform.cli("ingest", tmp_path, "--store", "harbours").stdout
    (tmp_path / "harbour.md").write_text("# Harbour\n\nThe harbour master of Quillport is Tobias Reed.\n")
    changed = platform.cli("ingest", tmp_path, "--store", "harbours")
    assert (changed.returncode, "0 files added, 1 replaced" in changed.stdout) == (0, True)
    with platform.client() as client:
        store = next(one["id"] for one in client.get("/v1/vector_stores").json()["data"] if one["name"] == "harbours")
        found = client.post(f"/v1/vector_stores/{store}/search", json={"query": "Who is the harbour master of Quillport?"}).json()["data"]
    assert "Tobias Reed" in found[0]["content"][0]["text"]
    assert "Adela Venn" not in str(found)


def test_chat_in_the_terminal_shows_where_an_answer_comes_from(platform: Any) -> None:
    done = platform.cli("chat", "--once", QUESTION)
    assert done.returncode == 0, done.stdout
    assert done.stdout.strip()


def test_a_batch_of_questions_is_run_waited_for_and_listed(platform: Any, tmp_path: Path) -> None:
    lines = [
        {
            "custom_id": name,
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": {"model": model, "messages": [{"role": "user", "content": QUESTION}]},
        }
        for name, model in (("good", platform.model()), ("bad", "nobody"))
    ]
    file = tmp_path / "asked.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)))
    done = platform.cli("batch", "run", file)
    assert done.returncode == 1, done.stdout + done.stderr  # one of its lines failed
    results = {row["custom_id"]: row for row in map(json.loads, (tmp_path / "asked.results.jsonl").read_text().splitlines())}
    assert results["good"]["response"]["body"]["choices"][0]["message"]["content"]
    assert results["bad"]["response"]["status_code"] == 404
    batch_id = re.search(r"batch_[0-9a-f]+", done.stdout)
    assert batch_id is not None
    assert batch_id[0] in platform.cli("batch", "list").stdout
    assert "is completed" in platform.cli("batch", "results", batch_id[0], "--out", tmp_path / "again.jsonl").stdout
    assert (tmp_path / "again.jsonl").read_bytes() == (tmp_path / "asked.results.jsonl").read_bytes()
    over = platform.cli("batch", "cancel", batch_id[0])
    assert over.returncode == 1 and "409" in over.stdout


def test_a_file_that_is_no_batch_is_one_sentence(platform: Any, tmp_path: Path) -> None:
    file = tmp_path / "no.jsonl"
    file.write_text("hello")
    done = platform.cli("batch", "run", file)
    assert done.returncode == 1 and "is no batch" in done.stdout


def test_a_key_for_somebody_else_works_until_it_is_revoked_and_sees_nothing_of_ours(platform: Any) -> None:
    made = platform.cli("keys", "create", "acme", "--name", "ci", "--days", "1")
    assert made.returncode == 0, made.stdout
    key, key_id = made.stdout.split()[0], made.stdout.split()[1]
    assert "acme" in platform.cli("keys", "list").stdout
    assert key not in platform.cli("keys", "list").stdout
    with platform.client(authorization=f"Bearer {key}") as client:
        assert client.get("/v1/models").status_code == 200
        assert client.get("/v1/vector_stores/vs_default/files").json()["data"] == []
        assert platform.cli("keys", "revoke", key_id).returncode == 0
        assert client.get("/v1/models").status_code == 401
