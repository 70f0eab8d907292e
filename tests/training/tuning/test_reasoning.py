"""The reasoning portfolio end to end, its data's forms, and a teacher behind a real loopback server."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from rich.console import Console
from slipway_training.cli import app
from slipway_training.data.synth.answers import number
from slipway_training.errors import ConfigError
from slipway_training.tuning import reasoning
from slipway_training.tuning.made import conversation
from slipway_training.tuning.reasoning_data import Choice, Problem, read_sets, shortened
from slipway_training.tuning.reasoning_teacher import picked
from typer.testing import CliRunner

GOLD = "Natalia sold 48/2 = <<48/2=24>>24 clips in May.\nNatalia sold 48+24 = <<48+24=72>>72 clips altogether.\n#### 72"


class Teacher(BaseHTTPRequestHandler):
    """Solves the sums of `made.py`; now and then wrongly, at too great length, or without the form."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        question = body["messages"][-1]["content"]
        right = KNOWN.get(question) or f"It is {max(map(int, question.split('?')[1].split('- ')[1:]))}."
        kind = sum(map(ord, question)) % 5
        text = {0: right, 1: right, 2: right.rsplit(" ", 1)[0] + " 999", 3: right + " so " * 80, 4: f"We get there so: {right}"}[kind]
        raw = json.dumps({"choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}]}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, format: str, *args: object) -> None:
        return None


KNOWN = {m[0]["content"]: m[1]["content"] for m in map(conversation, range(600))}


@pytest.fixture
def teacher() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Teacher) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
        server.shutdown()
        thread.join()


def test_one_command_leaves_a_report_and_goes_on_where_it_was(tmp_path: Path) -> None:
    words = ["portfolio", "reasoning", "--tiny", "--out", str(tmp_path)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    results = json.loads((tmp_path / "report" / "results.json").read_text(encoding="utf-8"))
    assert set(results["scores"]) == {"before", "answers", "rationales"}
    assert results["teacher"]["name"].startswith("no model: the gold rationales")
    assert results["differences"]["rationales - before"]["gold_nats"][2] < 0  # it has learnt what a rationale looks like, surely
    assert results["differences"]["rationales - before"]["problems"][3] == 24
    assert all(row["milliseconds"] > 0 for row in results["latency"].values())
    page = (tmp_path / "report" / "README.md").read_text(encoding="utf-8")
    assert "](scores.svg)" in page
    assert "paired bootstrap" in page
    assert (tmp_path / "report" / "scores.svg").stat().st_size > 2000
    stamps = {p: p.stat().st_mtime_ns for p in tmp_path.glob("*/hf/model.safetensors")}
    assert CliRunner().invoke(app, words).exit_code == 0
    assert {p: p.stat().st_mtime_ns for p in stamps} == stamps


def test_a_teacher_behind_a_url_is_checked_filtered_and_on_record(teacher: str, tmp_path: Path) -> None:
    plan = reasoning.TINY
    sets = read_sets(None, 60, 10)
    config = reasoning.teacher_config(plan, sets, tmp_path, teacher, "sums-1", "r3", "MIT", "")
    texts, record = reasoning.rationales(plan, sets, tmp_path, config, Console(quiet=True))
    assert 5 <= len(texts) < 60
    for question, text in texts.items():
        assert number(text) == number(KNOWN[question])
        assert len(text.split()) <= plan.words
    assert (record["name"], record["version"], record["licence"]) == ("sums-1", "r3", "MIT")
    kept = json.loads((tmp_path / "teacher" / "provenance.json").read_text(encoding="utf-8"))
    assert kept["teacher"]["model"] == "sums-1"
    assert kept["outcomes"]["wrong_answer"] > 0
    assert kept["outcomes"]["kept"] == len(texts)
    assert kept["filters"]["answer"] == "number"


def test_the_teacher_is_measured_on_the_held_out_items_beside_its_students(teacher: str, tmp_path: Path) -> None:
    named = ["--teacher-url", teacher, "--teacher-model", "sums-1", "--teacher-version", "r3", "--teacher-licence", "MIT"]
    done = CliRunner().invoke(app, ["portfolio", "reasoning", "--tiny", "--out", str(tmp_path), *named])
    assert done.exit_code == 0, done.output
    results = json.loads((tmp_path / "report" / "results.json").read_text(encoding="utf-8"))
    sets = read_sets(None, reasoning.TINY.limit, 24)
    solved = [sum(map(ord, p.question)) % 5 in (0, 1, 4) for p in sets.held_problems]  # the kinds of answer that `Teacher` gives
    chosen = [sum(map(ord, c.asked[0]["content"])) % 5 != 2 for c in sets.held_choices]
    assert results["scores"]["teacher"]["problems"][0] == pytest.approx(sum(solved) / len(solved), abs=1e-4)
    assert results["scores"]["teacher"]["choices"][0] == pytest.approx(sum(chosen) / len(chosen), abs=1e-4)
    assert "gold_nats" not in results["scores"]["teacher"]
    assert results["differences"]["rationales - teacher"]["problems"][3] == 24
    assert results["latency"]["teacher"]["milliseconds"] > 0
    assert "| teacher | " in done.output


def test_an_option_is_picked_by_what_an_answer_names() -> None:
    choice = Choice("Which?", ("12", "the sun", "the sun and the moon"), 1)
    assert picked("The sun.", choice) == 1
    assert picked("It is 12!", choice) == 0
    assert picked("the Sun and the Moon", choice) == 2
    assert picked("Surely the sun and the moon", choice) is None  # holds two
    assert picked("Mars", choice) is None


@pytest.fixture
def generator(tmp_path: Path) -> Iterator[str]:
    """Our own generator as a process: the echo engine, which says a question again."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environ = {k: v for k, v in os.environ.items() if not k.startswith("SLIPWAY_")} | {"SLIPWAY_GENERATOR_MODEL": "echo"}
    with (tmp_path / "generator.log").open("wb") as log:
        command = [sys.executable, "-m", "slipway_generator", "--port", str(port)]
        process = subprocess.Popen(command, env=environ, stdout=log, stderr=log, cwd=tmp_path)
    try:
        due = time.monotonic() + 60
        while not _ready(port):
            assert process.poll() is None and time.monotonic() < due, (tmp_path / "generator.log").read_text(encoding="utf-8")[-1000:]
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait(timeout=30)


def _ready(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=5, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def test_our_own_generator_is_a_teacher(generator: str, tmp_path: Path) -> None:
    problems = tuple(Problem(f"{a} + {a} = {2 * a}\n#### {2 * a}", f"#### {2 * a if a % 2 else 0}") for a in range(3, 11))
    sets = replace(read_sets(None, 4, 2), problems=problems)
    config = reasoning.teacher_config(reasoning.TINY, sets, tmp_path, generator, "echo", "1", "Apache-2.0", "")
    config = config.model_copy(update={"teacher": config.teacher.model_copy(update={"temperature": 0.0, "samples": 1})})
    texts, record = reasoning.rationales(reasoning.TINY, sets, tmp_path, config, Console(quiet=True))
    assert texts == {p.question: p.question for p in problems[::2]}
    assert (record["asked"], record["kept"]) == (8, 4)


def test_a_teacher_without_a_licence_is_no_teacher(tmp_path: Path) -> None:
    words = ["portfolio", "reasoning", "--tiny", "--out", str(tmp_path), "--teacher-url", "http://127.0.0.1:9/v1", "--teacher-model", "m"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 2
    assert "--teacher-licence" in done.output.replace("\n", " ")


def test_a_rationale_is_shortened_to_its_equations() -> None:
    assert shortened(GOLD, 60) == "48/2 = 24\n48+24 = 72\n#### 72"
    assert shortened(GOLD, 5) is None
    assert shortened("Nothing is computed.\n#### 3", 60) is None


def test_both_sources_are_read_in_their_own_forms_and_split_by_the_question(tmp_path: Path) -> None:
    (tmp_path / "gsm8k_train").mkdir()
    (tmp_path / "arc_train").mkdir()
    rows = [{"question": f"How many are {i} and {i % 7}?", "answer": GOLD} for i in range(200)]
    (tmp_path / "gsm8k_train" / "train.jsonl").write_text("\n".join(map(json.dumps, [*rows, *rows[:50]])), encoding="utf-8")
    head = "Please choose the correct answer to the question: "
    asked = [
        f"{head}Why {i}?\n\nAnswer1: one two Answer2: {i} Answer3: three.\n\nAnswer format: answer1/answer2/answer3" for i in range(200)
    ]
    items = [{"instruction": text, "output": "the correct answer is answer2", "answer": "answer2"} for text in asked]
    for name in ("ARC-Easy-train.json", "ARC-Challenge-train.json"):
        (tmp_path / "arc_train" / name).write_text(json.dumps(items), encoding="utf-8")
    sets = read_sets(tmp_path, 1000, 1000)
    assert sets.choices[0].options[0] == "one two"
    assert all(c.options[c.right].isdigit() and c.question.startswith("Why") for c in sets.choices)
    assert not {p.question for p in sets.problems} & {p.question for p in sets.held_problems}
    assert not {c.question for c in sets.choices} & {c.question for c in sets.held_choices}
    assert len({p.question for p in sets.held_problems}) == len(sets.held_problems) > 5
    assert sets.held_problems[0].answer == "#### 72"


def test_no_rationale_means_no_student(tmp_path: Path) -> None:
    sets = read_sets(None, 20, 4)
    with pytest.raises(ConfigError, match="no rationale passed"):
        reasoning.run_legs(replace(reasoning.TINY, words=1), sets, tmp_path, None, "", Console(quiet=True))
