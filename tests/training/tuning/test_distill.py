"""Distillation: divergences against torch's own, the cache of logits, and both methods end to end."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from slipway_training.cli import app
from slipway_training.errors import CheckpointError, ConfigError
from slipway_training.recipes import recipe
from slipway_training.tuning import distill, rows
from slipway_training.tuning.base import Opened
from slipway_training.tuning.config import Divergence, Rows
from slipway_training.tuning.divergence import divergence, top_k
from slipway_training.tuning.made import conversations
from slipway_training.tuning.teacher_cache import TeacherCache, identity, write_cache
from torch.nn.functional import kl_div, log_softmax
from typer.testing import CliRunner

WORDS = 24


def both(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(seed)
    return torch.randn(7, WORDS) * 3, torch.randn(7, WORDS) * 3


@pytest.mark.parametrize("kind", ["forward_kl", "reverse_kl", "jsd"])
@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_with_the_whole_vocabulary_it_is_the_exact_divergence(kind: Any, temperature: float) -> None:
    teacher, student = both()
    how = Divergence(kind=kind, temperature=temperature, top_k=WORDS, beta=0.3)
    p, q = log_softmax(teacher.double() / temperature, -1), log_softmax(student.double() / temperature, -1)
    middle = (0.3 * p.exp() + 0.7 * q.exp()).log()

    def kl(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return kl_div(b, a, reduction="batchmean", log_target=True)

    wanted = {"forward_kl": kl(p, q), "reverse_kl": kl(q, p), "jsd": 0.3 * kl(p, middle) + 0.7 * kl(q, middle)}[kind]
    got = divergence(student, *top_k(teacher, temperature, WORDS), how)
    assert float(got) == pytest.approx(float(wanted) * temperature**2, rel=1e-3)


@pytest.mark.parametrize("kind", ["forward_kl", "reverse_kl", "jsd"])
def test_fewer_kept_tokens_see_less_and_equal_ones_nothing(kind: Any) -> None:
    teacher, student = both(1)
    seen = [float(divergence(student, *top_k(teacher, 1.0, k), Divergence(kind=kind, temperature=1.0, top_k=k))) for k in (1, 4, 12, WORDS)]
    assert seen == sorted(seen)
    assert seen[0] > 0
    same = divergence(teacher, *top_k(teacher, 1.0, 4), Divergence(kind=kind, temperature=1.0, top_k=4))
    assert float(same) == pytest.approx(0.0, abs=1e-5)
    moved = student.clone().requires_grad_()
    divergence(moved, *top_k(teacher, 1.0, 4), Divergence(kind=kind, temperature=1.0, top_k=4)).backward()
    assert moved.grad is not None
    assert torch.isfinite(moved.grad).all()


def test_the_cache_gives_what_the_teacher_says_and_is_verified(opened: Opened, tmp_path: Path) -> None:
    data = Rows(made=5, held_out=0.0)
    tokens = rows.tokenize(conversations(5), opened.tokenizer, data, assistant_only=True).train
    how = Divergence(top_k=8, temperature=2.0)
    name = identity("teacher", tokens, how)
    write_cache(opened.model, tokens, how, name, tmp_path / "cache")
    kept, ids = TeacherCache(tmp_path / "cache", name).row(3)
    with torch.inference_mode():
        logits = opened.model(torch.tensor([tokens[3]["input_ids"]])).logits[0, :-1]
    learnt = torch.tensor(tokens[3]["labels"][1:]) != rows.IGNORED
    wanted, wanted_ids = top_k(logits[learnt], 2.0, 8)
    assert torch.allclose(kept.float(), wanted, atol=1e-2)
    assert torch.equal(ids.long(), wanted_ids)
    assert identity("other", tokens, how) != name != identity("teacher", tokens[:4], how)
    with pytest.raises(CheckpointError, match="another teacher"):
        TeacherCache(tmp_path / "cache", "other")
    shard = tmp_path / "cache" / "shard-00000.safetensors"
    raw = bytearray(shard.read_bytes())
    raw[-1] ^= 1
    shard.write_bytes(raw)
    with pytest.raises(CheckpointError, match="is damaged"):
        TeacherCache(tmp_path / "cache", name)


def test_the_tiny_command_brings_the_student_towards_its_teacher(tmp_path: Path, tiny: Any, pickles: Any) -> None:
    done = CliRunner().invoke(app, ["train", "distill", "--tiny", f"run.out={tmp_path}"])
    assert done.exit_code == 0, done.output
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert report["held_out_loss"] < 0.6 * report["held_out_loss_before"]
    teacher = json.loads((tmp_path / "provenance.json").read_text(encoding="utf-8"))["teacher"]
    assert teacher["name"] == "made teacher"
    assert teacher["licence"] == "Apache-2.0"
    assert teacher["filters"] == {"max_tokens": 128}
    assert len(teacher["sha256"]) == 64
    assert not pickles(tmp_path)
    _texts_of_the_same_teacher(tmp_path, tiny)


def _texts_of_the_same_teacher(made: Path, tiny: Any) -> None:
    """The same teacher's texts, unverified: the student's rows are what the teacher said."""
    words = (f"model.base={made / 'base'}", f"teacher.folder={made / 'teacher' / 'hf'}", "teacher.licence=MIT", "method=sequence")
    out = made / "sequence"
    config = tiny("distill", out, *words, "texts.verified=false", "data.made=40", "texts.max_new_tokens=12")
    assert recipe("distill").start(config, Console(quiet=True))
    said = [json.loads(line) for line in (out / "teacher_rows.jsonl").read_text(encoding="utf-8").splitlines()]
    assert 20 <= len(said) <= 40
    assert [row["messages"][0] for row in said[:3]] == [row["messages"][0] for row in conversations(3)]
    record = json.loads((out / "provenance.json").read_text(encoding="utf-8"))["teacher"]
    assert record["licence"] == "MIT"
    assert record["filters"]["asked"] == 40
    assert json.loads((out / "report.json").read_text(encoding="utf-8"))["rows"] <= len(said)


def test_of_drawn_answers_the_first_that_the_verifier_takes_becomes_the_row(opened: Opened, fixed: Any, tmp_path: Path, tiny: Any) -> None:
    asked = conversations(2)
    golds = [row["messages"][-1]["content"] for row in asked]
    number = golds[0].rsplit(" ", 1)[1]
    texts = ["It is 77", f"so\n#### {number}", golds[0], "no", "no", "no"]  # three for each question; the longest prompt is asked first
    if len(rows.prompt_ids(asked[1]["messages"][:-1], opened.tokenizer)) > len(
        rows.prompt_ids(asked[0]["messages"][:-1], opened.tokenizer)
    ):
        texts = [*texts[3:], *texts[:3]]
    teacher = Opened(fixed(opened.tokenizer, texts), opened.tokenizer, opened.folder)
    config = tiny("distill", tmp_path, "method=sequence", "texts.samples=3")
    found, kept = distill.teacher_texts(config, teacher, asked, tmp_path, Console(quiet=True))
    assert kept == {"asked": 2, "kept": 1}
    assert found == [{"messages": [asked[0]["messages"][0], {"role": "assistant", "content": f"so\n#### {number}"}]}]
    assert [path.name for path in tmp_path.iterdir()] == ["teacher_rows.jsonl"]


def test_another_vocabulary_is_refused(base: Path, tmp_path: Path, tiny: Any) -> None:
    config = tiny("distill", tmp_path, "model.vocab_size=450", f"teacher.folder={base}")
    with pytest.raises(ConfigError, match="different vocabularies"):
        recipe("distill").start(config, Console(quiet=True))
    assert not (tmp_path / "cache").exists()


def test_the_teacher_of_a_real_base_must_be_named(base: Path, tmp_path: Path, tiny: Any) -> None:
    with pytest.raises(ConfigError, match=r"teacher\.folder must name"):
        recipe("distill").start(tiny("distill", tmp_path, f"model.base={base}"), Console(quiet=True))
    assert distill.plan(tiny("distill", tmp_path, f"model.base={base}"))[-1][0] == "teacher"
