"""DPO end to end, rewards against cases worked by hand, and pairs that a model's own samples give."""

import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from slipway_training.cli import app
from slipway_training.errors import ConfigError
from slipway_training.recipes import recipe
from slipway_training.tuning import rewards, rows
from slipway_training.tuning.base import Opened
from slipway_training.tuning.config import Best, Heuristics, Rows
from slipway_training.tuning.made import conversations, preferences
from slipway_training.tuning.sampling import answers, best_of, verified_best
from typer.testing import CliRunner


def test_the_tiny_command_learns_to_prefer_what_is_right(tmp_path: Path, pickles: Any) -> None:
    done = CliRunner().invoke(app, ["train", "dpo", "--tiny", f"run.out={tmp_path}"])
    assert done.exit_code == 0, done.output
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert report["held_out_pairs"] >= 10
    assert report["margin"] > report["margin_before"] + 0.1
    assert report["preferred"] >= 0.9
    assert report["rewards"]["chosen"]["arithmetic"] == 1.0
    assert report["rewards"]["chosen"]["form"] > report["rewards"]["rejected"]["form"]
    assert not pickles(tmp_path)
    assert (tmp_path / "hf" / "model.safetensors").is_file()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12 + 5 = 17\n#### 17", 1.0),
        ("12 + 5 = 18\n#### 18", -1.0),
        ("1,200 / 3 = 400, then 400 * 2 = 801", 0.0),
        ("48/2 = <<48/2=24>>24 clips", 1.0),
        ("10 / 3 = 3.33", 1.0),
        ("5 / 0 = 0", -1.0),
        ("nothing to compute", 0.0),
        ("2 - 3 = -1", 1.0),
    ],
)
def test_arithmetic_is_computed(text: str, value: float) -> None:
    assert rewards.arithmetic(text) == pytest.approx(value)


def test_length_form_and_groundedness() -> None:
    assert rewards.length("one two three", (3, 6)) == 0
    assert rewards.length("", (3, 6)) == -1
    assert rewards.length("w " * 9, (3, 6)) == pytest.approx(-0.5)
    assert [rewards.form(t) for t in ("x\n#### 4", "x is 4", "#### 4 and so on", "#### 3\n#### 4")] == [1, 0, -1, -1]
    passages = ("The gateway listens on port 8443.",)
    assert rewards.grounded("The gateway listens on port 8443. [1]", passages) == 1
    assert rewards.grounded("The gateway listens on port 8443.", passages) == 0.5
    assert rewards.grounded("The gateway listens on port 9000. [1]", passages) == -1
    judged = rewards.judge("2 + 2 = 4\n#### 4", Heuristics())
    assert "grounded" not in judged.parts
    assert judged.total == pytest.approx(1.5)


def test_the_verifier_wants_the_form_and_the_number() -> None:
    gold = "3 + 4 = 7\n#### 7"
    assert rewards.right("so 7\n#### 7", gold)
    assert rewards.right("#### 7.0", gold)
    assert not rewards.right("it is 7", gold)
    assert not rewards.right("#### 8", gold)
    assert not rewards.right("#### 7 or 8", gold)


def test_pairs_are_made_only_where_the_verifier_tells_two_answers_apart(opened: Opened, fixed: Any) -> None:
    asked = [row for row in conversations(1) for _ in range(2)]
    gold = asked[0]["messages"][-1]["content"]
    total = gold.rsplit(" ", 1)[1]
    texts = [gold, f"1 + 1 = 3\n#### {total}", "It is 77", "1 + 1 = 3\n#### 99", "no", "no", "no", "no"]
    model = Opened(fixed(opened.tokenizer, texts), opened.tokenizer, opened.folder)
    pairs, tally = best_of(model, asked, Best(samples=4), Heuristics(), seed=1)
    assert (tally.questions, tally.samples, tally.right, tally.solved, tally.pairs) == (2, 8, 2, 1, 1)
    assert pairs[0]["chosen"][0]["content"] == gold  # of two right answers the one whose sum holds
    assert pairs[0]["rejected"][0]["content"] == "1 + 1 = 3\n#### 99"
    model = Opened(fixed(opened.tokenizer, ["It is 77", gold]), opened.tokenizer, opened.folder)
    prompts = [rows.prompt_ids(asked[0]["messages"][:-1], opened.tokenizer)]
    assert verified_best(model, prompts, [gold], Best(samples=2), seed=1) == [gold]
    assert verified_best(model, prompts, ["#### 123456"], Best(samples=2), seed=1) == [None]


def test_padding_on_the_left_changes_no_answer(opened: Opened) -> None:
    prompts = [rows.prompt_ids(row["messages"][:-1], opened.tokenizer) for row in conversations(5)]
    prompts[0] = [*prompts[0], *prompts[1], *prompts[2]]
    together = answers(opened, prompts, 12)
    assert together == [answers(opened, [p], 12)[0] for p in prompts]


def test_a_base_that_is_never_right_gives_no_pairs(tmp_path: Path, tiny: Any) -> None:
    config = tiny("dpo", tmp_path, "best.samples=2", "best.questions=4", "best.max_new_tokens=6")
    with pytest.raises(ConfigError, match="no pair is left"):
        recipe("dpo").start(config, Console(quiet=True))


def test_pairs_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "pairs.jsonl"
    file.write_text("\n".join([json.dumps(preferences(1)[0]), '{"prompt": "a", "chosen": "b", "rejected": "c"}']), encoding="utf-8")
    found = rows.read_rows(Rows(file=str(file)), pairs=True)
    assert found[0] == preferences(1)[0]
    assert found[1]["prompt"] == [{"role": "user", "content": "a"}]
    assert found[1]["rejected"] == [{"role": "assistant", "content": "c"}]
