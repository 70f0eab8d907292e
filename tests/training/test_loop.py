"""The loop on a model of two layers: what a row computes, and what survives an interruption."""

import os
import signal
from itertools import islice
from pathlib import Path
from random import Random

import pytest

torch = pytest.importorskip("torch")

from slipway_training import checkpoint  # noqa: E402
from slipway_training.bundles import Shape, bundles  # noqa: E402
from slipway_training.config import ModelConfig, OptimConfig, RunConfig  # noqa: E402
from slipway_training.errors import CheckpointError  # noqa: E402
from slipway_training.layout import Layout  # noqa: E402
from slipway_training.loop import Outcome, Step, learning_rate, losses, row_mask, train  # noqa: E402
from slipway_training.model import build_model, parameter_count  # noqa: E402
from slipway_training.rows import Bundle, Page, Turn  # noqa: E402
from slipway_training.sampler import Sampler  # noqa: E402
from slipway_training.shards import write_shard  # noqa: E402
from tokenizers import Tokenizer  # noqa: E402
from torch import Tensor  # noqa: E402

SHAPE = ModelConfig(vocab_size=600, width=64, layers=2, heads=2, kv_heads=1, mlp_width=96, context_tokens=512)
OPTIM = OptimConfig(batch_tokens=600, prefix_loss=0.1)


@pytest.fixture
def sampler(pages: list[Page], tokenizer: Tokenizer, tmp_path: Path) -> Sampler:
    layout = Layout(tokenizer, 512, 400)
    made = (layout.row(b) for b in bundles(Random(1), pages, Shape((1, 2), 40, 3)))
    return Sampler([write_shard(tmp_path / "shard", [r for r in islice(made, 40) if r])], OPTIM.batch_tokens, 1)


def run(sampler: Sampler, folder: Path, stop_after: int = 0, every: int = 3) -> tuple[Outcome, list[float], dict[str, object]]:
    """One process life: a fresh model, trained until the end or until a SIGTERM that it gets at step `stop_after`."""
    model = build_model(SHAPE, 1, 0, 17)
    seen: list[float] = []

    def on_step(step: Step) -> None:
        seen.append(step.loss)
        if len(seen) == stop_after:
            os.kill(os.getpid(), signal.SIGTERM)

    outcome = train(model, sampler, OPTIM, RunConfig(checkpoint_every_steps=every), folder, "one", on_step)
    return outcome, seen, dict(model.state_dict())


def test_a_run_that_was_stopped_twice_ends_bit_identical(sampler: Sampler, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    whole, losses_whole, weights = run(sampler, tmp_path / "whole")
    assert whole.done
    first, a, _ = run(sampler, tmp_path / "parts", stop_after=2)
    second, b, _ = run(sampler, tmp_path / "parts", stop_after=3)
    last, c, resumed = run(sampler, tmp_path / "parts")
    assert (first.done, second.done, last.done) == (False, False, True)
    assert a + b + c == losses_whole
    assert all(torch.equal(weights[name], resumed[name]) for name in weights)  # type: ignore[arg-type]
    assert last.cursor.tokens == sampler.tokens


def test_a_damaged_checkpoint_is_passed_over_and_said(sampler: Sampler, tmp_path: Path) -> None:
    run(sampler, tmp_path / "run", stop_after=4, every=2)
    newest = sorted((tmp_path / "run").glob("step-*"))[-1]
    (newest / "optimizer.safetensors").write_bytes(b"not tensors")
    model = build_model(SHAPE, 1, 0, 17)
    cursor, notes = checkpoint.restore(tmp_path / "run", model, None, "one")
    assert cursor is not None
    assert cursor.batch < 4
    assert "damaged" in notes[0]


def test_one_changed_bit_of_a_checkpoint_is_found(sampler: Sampler, tmp_path: Path) -> None:
    run(sampler, tmp_path / "run", stop_after=4, every=2)
    weights = sorted((tmp_path / "run").glob("step-*"))[-1] / "model.safetensors"
    raw = bytearray(weights.read_bytes())
    raw[-7] ^= 1  # one bit of one weight: only a digest tells
    weights.write_bytes(raw)
    cursor, notes = checkpoint.restore(tmp_path / "run", build_model(SHAPE, 1, 0, 17), None, "one")
    assert cursor is not None
    assert cursor.batch < 4
    assert "model.safetensors is not what was written" in notes[0]


def test_a_checkpoint_of_another_recipe_is_refused(sampler: Sampler, tmp_path: Path) -> None:
    run(sampler, tmp_path / "run", stop_after=1)
    with pytest.raises(CheckpointError, match="another recipe"):
        checkpoint.restore(tmp_path / "run", build_model(SHAPE, 1, 0, 17), None, "two")
    with pytest.raises(CheckpointError, match="another recipe"):
        checkpoint.claim(tmp_path / "run", "two")
    checkpoint.claim(tmp_path / "run", "one")


def test_questions_of_one_row_do_not_see_each_other(tokenizer: Tokenizer) -> None:
    """The logits of a question that shares its row are those of the question alone: training is serving."""
    model = build_model(SHAPE, 1, 0, 17).eval()
    layout = Layout(tokenizer, 512, 512)
    passages = ("The port is 80.", "The host is here.")
    turns = (Turn("Which port?", " 80 [1]", 1), Turn("Which host is it?", " here [2]", 2))
    row, alone = layout.row(Bundle("t", passages, turns)), layout.row(Bundle("t", passages, turns[1:]))
    assert row is not None
    assert alone is not None
    logits: list[Tensor] = []
    with torch.inference_mode():
        for r in (row, alone):
            segments = torch.tensor([r.segments])
            out = model(input_ids=torch.tensor([r.tokens]), position_ids=torch.tensor([r.positions]), attention_mask=row_mask(segments))
            logits.append(out.logits[0, -(len(alone.tokens) - alone.segments.count(0)) :])
        plain = model(input_ids=torch.tensor([alone.tokens])).logits[0, alone.segments.count(0) :]
    torch.testing.assert_close(logits[0], logits[1], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(logits[0], plain, atol=1e-4, rtol=1e-4)


def test_the_passage_loss_is_wanted_only_for_a_while(sampler: Sampler) -> None:
    model = build_model(SHAPE, 1, 0, 17)
    _, right, early = losses(model, sampler.batch(0), OPTIM, 0.0)
    answer, _, late = losses(model, sampler.batch(0), OPTIM, 0.9)
    assert early is not None
    assert late is None
    assert float(answer.detach()) > 0
    assert 0 <= right <= 1


def test_the_schedule_rises_and_falls() -> None:
    rates = [learning_rate(OPTIM, p / 100) for p in range(101)]
    peak = rates.index(max(rates))
    assert rates[:peak] == sorted(rates[:peak])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert rates[-1] == pytest.approx(OPTIM.learning_rate / 100)


def test_the_clock_ends_a_run(sampler: Sampler, tmp_path: Path) -> None:
    model = build_model(SHAPE, 1, 0, 17)
    outcome = train(model, sampler, OPTIM, RunConfig(minutes=1e-9), tmp_path / "run", "one", lambda _step: None)
    assert outcome.done
    assert outcome.cursor.batch <= 1


def test_parameters_are_counted_right() -> None:
    assert parameter_count(SHAPE) == sum(p.numel() for p in build_model(SHAPE, 1, 0, 17).parameters())
