"""The agent of the docs, run as its readers run it: it calls tools of the platform, answers, and stops at its budget."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import openai
import pytest

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]
SCRIPT = Path(__file__).parents[2] / "docs" / "examples" / "agent.py"


def run(house: Any, *words: str) -> str:
    environ = {**os.environ, "SLIPWAY_BASE_URL": f"{house.planner_url}/v1", "SLIPWAY_API_KEY": house.key}
    command = [sys.executable, str(SCRIPT), "--model", house.planner, *words]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_calls_a_tool_and_answers_with_the_result(house: Any) -> None:
    lines = run(house, "add_numbers: 19 and 23").splitlines()
    assert lines[0] == "calls add_numbers {'a': 19.0, 'b': 23.0}"
    assert lines[1] == "reads 42.0" and "The answer is 42.0." in lines
    assert lines[-1].startswith("2 steps, ")


def test_it_searches_the_documents_of_the_platform(house: Any, client: openai.OpenAI) -> None:
    text = b"The ferry to Lundy leaves at seven in the morning from the stone quay.\n"
    file = client.files.create(file=("ferry.md", text), purpose="assistants")
    client.vector_stores.files.create("vs_default", file_id=file.id)
    due = time.monotonic() + 60
    while client.vector_stores.files.retrieve(file.id, vector_store_id="vs_default").status != "completed":
        assert time.monotonic() < due
        time.sleep(0.1)
    said = run(house, "search_documents about the ferry to Lundy")
    assert "calls search_documents" in said and "leaves at seven in the morning" in said
    client.files.delete(file.id)


@pytest.mark.parametrize("budget", [("--steps", "1"), ("--tokens", "5")])
def test_it_stops_at_its_budget(house: Any, budget: tuple[str, str]) -> None:
    said = run(house, "add_numbers: 19 and 23", *budget)
    assert "I stopped: the budget of" in said and "reads" not in said and "1 steps" in said
