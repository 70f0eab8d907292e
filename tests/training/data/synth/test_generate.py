import json
from collections import Counter
from pathlib import Path
from typing import Any, Protocol

import pytest
from pydantic import ValidationError
from rich.console import Console
from slipway_training.cli import app
from slipway_training.data.synth.config import SynthConfig
from slipway_training.data.synth.generate import generate, plan
from slipway_training.data.synth.journal import Journal
from slipway_training.data.synth.teacher import TeacherFailed
from slipway_training.errors import ConfigError
from typer.testing import CliRunner

QUIET = Console(quiet=True)


class TeacherServer(Protocol):
    """The server of conftest.py."""

    seen: Counter[str]
    bodies: list[dict[str, Any]]
    headers: list[dict[str, str]]
    moderation_down: bool

    @property
    def url(self) -> str: ...


def questions(path: Path, *extra: str, plain: int = 6) -> Path:
    rows = [(f"What is {i + 2} plus {i * 3 + 1}?", i * 4 + 3) for i in range(plain)]
    rows += [(f"What is 5 plus 6? ({word})", 11) for word in extra]
    path.write_text("".join(json.dumps({"q": q, "a": f"#### {a}"}) + "\n" for q, a in rows), encoding="utf-8")
    return path


def config(tmp_path: Path, server: TeacherServer, *extra: str, plain: int = 6, **sections: Any) -> SynthConfig:
    source = {"name": "sums", "url": str(questions(tmp_path / "q.jsonl", *extra, plain=plain)), "text": "q", "licence": "CC0"}
    raw: dict[str, Any] = {
        "name": "sums", "out": str(tmp_path / "out"), "prompts": {"source": source, "expected": "a", "template": "{text} Think briefly."},
        "teacher": {"url": server.url, "model": "adder", "version": "1", "licence": "Apache-2.0", "allows_training": True, "max_tokens": 64},
        "filters": {"answer": "number", "dedup": {"near": False}}, "bounds": {"longest_wait_seconds": 0.02, "attempts": 3},
    }  # fmt: skip
    for name, section in sections.items():
        raw[name] = {**raw.get(name, {}), **section}
    return SynthConfig.model_validate(raw)


def outcomes(journal: Journal) -> dict[str, int]:
    return {o: list(journal.done.values()).count(o) for o in set(journal.done.values())}


def test_right_answers_are_kept_with_everything_that_must_be_said_about_them(tmp_path: Path, teacher: TeacherServer) -> None:
    journal = generate(config(tmp_path, teacher), QUIET)
    assert outcomes(journal) == {"kept": 6} and journal.tokens == 180
    rows = [json.loads(line) for line in (tmp_path / "out" / "rows.jsonl").read_text(encoding="utf-8").splitlines()]
    assert rows[2]["prompt"] == "What is 4 plus 7? Think briefly." and rows[2]["answer"].endswith("#### 11")
    assert [m["role"] for m in rows[2]["messages"]] == ["user", "assistant"]
    record = json.loads((tmp_path / "out" / "provenance.json").read_text(encoding="utf-8"))
    assert record["teacher"]["model"] == "adder" and record["teacher"]["licence"] == "Apache-2.0" and record["teacher"]["version"] == "1"
    assert record["prompts"]["origin"]["licence"] == "CC0" and len(record["prompts"]["origin"]["sha256"]) == 64
    assert record["filters"]["answer"] == "number" and record["outcomes"] == {"kept": 6}
    assert len({b["seed"] for b in teacher.bodies}) == 6 and teacher.bodies[0]["max_tokens"] == 64


def test_each_filter_gives_its_reason(tmp_path: Path, teacher: TeacherServer) -> None:
    bad = ("wrong", "cut", "apology", "mail", "rude", "too long")
    made = config(tmp_path, teacher, *bad, plain=2, safety={"denylist": ["dunderhead"]})
    assert outcomes(generate(made, QUIET)) == {
        "kept": 2, "wrong_answer": 1, "unfinished": 1, "must_not_match": 1, "pii": 1, "denylist": 1, "refused_by_server": 1,
    }  # fmt: skip


def test_format_length_and_language_are_filters_too(tmp_path: Path, teacher: TeacherServer) -> None:
    for number, filters in enumerate(({"must_match": "^Step"}, {"words": (1, 3)}, {"characters": (500, 900)}, {"languages": ("de",)})):
        made = config(tmp_path, teacher, plain=1, filters=filters).model_copy(update={"out": str(tmp_path / f"out{number}")})
        assert list(outcomes(generate(made, QUIET))) == [("must_match", "words", "characters", "language")[number]]


def test_copies_and_evaluation_text_are_left_out(tmp_path: Path, teacher: TeacherServer) -> None:
    (tmp_path / "eval.jsonl").write_text(
        json.dumps({"text": "What is 3 plus 4? Think briefly. We add 3 and 4, which"}) + "\n", encoding="utf-8"
    )
    made = config(
        tmp_path, teacher, "same", "same", plain=3,
        filters={"decontaminate": {"ngram_words": 8, "evals": [{"name": "quiz", "url": str(tmp_path / "eval.jsonl")}]}},
    )  # fmt: skip
    assert outcomes(generate(made, QUIET)) == {"kept": 3, "exact_copy": 1, "eval_quiz": 1}


def test_a_busy_server_is_asked_again_and_a_broken_one_is_said(tmp_path: Path, teacher: TeacherServer) -> None:
    made = config(tmp_path, teacher, "busy", "hang up", "garbled", plain=1)
    assert outcomes(generate(made, QUIET)) == {"kept": 4}
    assert {prompt.split("(")[1].split(")")[0]: n for prompt, n in teacher.seen.items() if "(" in prompt} == {
        "busy": 3,
        "hang up": 2,
        "garbled": 2,
    }
    with pytest.raises(ConfigError, match="401"):
        generate(config(tmp_path, teacher, "forbidden", plain=0).model_copy(update={"out": str(tmp_path / "b")}), QUIET)
    down = config(tmp_path, teacher, "down 1", "down 2", plain=2, bounds={"failures_in_a_row": 2}).model_copy(
        update={"out": str(tmp_path / "c")}
    )
    with pytest.raises(TeacherFailed, match="failed 3 times, the last time with status 500"):
        generate(down, QUIET)
    assert json.loads((tmp_path / "c" / "provenance.json").read_text(encoding="utf-8"))["outcomes"] == {"kept": 2}, "what was done is kept"


def test_several_samples_take_the_first_that_is_right(tmp_path: Path, teacher: TeacherServer) -> None:
    made = config(tmp_path, teacher, "second try", plain=0, teacher={"samples": 3})
    assert outcomes(generate(made, QUIET)) == {"kept": 1}
    assert len(teacher.bodies) == 2 and teacher.bodies[0]["seed"] != teacher.bodies[1]["seed"]


def test_a_moderation_model_has_the_last_word_and_without_a_verdict_nothing_passes(tmp_path: Path, teacher: TeacherServer) -> None:
    made = config(tmp_path, teacher, "explosive", plain=2, safety={"moderation_url": teacher.url}, bounds={"failures_in_a_row": 1})
    assert outcomes(generate(made, QUIET)) == {"kept": 2, "moderation": 1}
    teacher.moderation_down = True
    with pytest.raises(TeacherFailed, match="moderations"):
        generate(made.model_copy(update={"out": str(tmp_path / "b")}), QUIET)
    assert (tmp_path / "b" / "rows.jsonl").read_bytes() == b""


def test_it_goes_on_after_a_kill_without_asking_twice(tmp_path: Path, teacher: TeacherServer) -> None:
    made = config(tmp_path, teacher, plain=12, bounds={"concurrency": 3})
    generate(made, QUIET)
    whole = (tmp_path / "out" / "rows.jsonl").read_bytes()
    rows, journal = (tmp_path / "out" / n for n in ("rows.jsonl", "journal.jsonl"))
    lines = journal.read_bytes().splitlines(keepends=True)
    # As a kill leaves it: five prompts written down, the sixth row written but not its prompt, the seventh cut in the middle.
    journal.write_bytes(b"".join(lines[:6]))
    rows.write_bytes(b"".join(whole.splitlines(keepends=True)[:6]) + b'{"id": "00')
    teacher.seen.clear()
    again = generate(made, QUIET)
    assert rows.read_bytes() == whole and sum(teacher.seen.values()) == 7
    assert again.tokens == 360
    with pytest.raises(ConfigError, match="another configuration"):
        generate(made.model_copy(update={"seed": 2}), QUIET)


def test_bounds_end_a_run(tmp_path: Path, teacher: TeacherServer) -> None:
    made = config(tmp_path, teacher, plain=20, bounds={"tokens": 150, "concurrency": 1})
    assert len(generate(made, QUIET).rows) == 5
    some = config(tmp_path, teacher, plain=20, bounds={"prompts": 3}).model_copy(update={"out": str(tmp_path / "b")})
    assert len(generate(some, QUIET).rows) == 3


def test_the_key_comes_from_the_environment_and_goes_nowhere_else(
    tmp_path: Path, teacher: TeacherServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = config(tmp_path, teacher, plain=1, teacher={"key_variable": "TEST_TEACHER_KEY"})
    with pytest.raises(ConfigError, match="TEST_TEACHER_KEY is not set"):
        generate(made, QUIET)
    monkeypatch.setenv("TEST_TEACHER_KEY", "not-for-files")
    generate(made, QUIET)
    assert teacher.headers[0]["authorization"] == "Bearer not-for-files"
    assert all("not-for-files" not in f.read_text(encoding="utf-8") for f in (tmp_path / "out").iterdir())


def test_the_command_shows_the_plan_and_the_outcomes(tmp_path: Path, teacher: TeacherServer) -> None:
    made = config(tmp_path, teacher, "wrong", plain=2)
    path = tmp_path / "synth.yaml"
    path.write_text(json.dumps(made.model_dump(mode="json")), encoding="utf-8")
    dry = CliRunner().invoke(app, ["data", "synth", str(path), "--dry-run"])
    assert dry.exit_code == 0 and "at most 3" in dry.output and not teacher.seen
    assert dict(plan(made))["prompts"] == "3 from sums (CC0)"
    ran = CliRunner().invoke(app, ["data", "synth", str(path)])
    assert ran.exit_code == 0 and "wrong_answer" in ran.output and "2 rows, 90 teacher tokens" in ran.output


def test_a_teacher_that_may_not_be_trained_on_is_no_teacher(tmp_path: Path, teacher: TeacherServer) -> None:
    with pytest.raises(ValidationError, match="allows_training"):
        config(tmp_path, teacher, teacher={"allows_training": False})
    with pytest.raises(ValidationError, match="regular expression"):
        config(tmp_path, teacher, filters={"must_match": "("})
