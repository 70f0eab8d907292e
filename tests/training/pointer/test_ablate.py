"""Ablations of the pointer recipe on a tiny network: legs are trained once, compared on the same questions, and left out when time is up."""

from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from slipway_shared.grounding import NOT_IN_SOURCES
from slipway_training.errors import CheckpointError, ConfigError
from slipway_training.evaluation.scores import Item
from slipway_training.pointer.ablate import (
    FULL,
    LEGS,
    Finished,
    Leg,
    Plan,
    compare,
    figures,
    load_plan,
    report,
    run_ablations,
    sets_of,
    write_report,
)
from slipway_training.pointer.config import PointerConfig
from slipway_training.pointer.encode import PairBatch
from slipway_training.pointer.model import list_loss
from slipway_training.pointer.recipe import export_run, run_pointer
from slipway_training.pointer.train import newest, start


@pytest.fixture
def plan(tiny_bert: Path) -> Plan:
    change = (f"model.base={tiny_bert}", "model.vocab_size=500", "model.max_tokens=96", "data.lists=12")
    return Plan(
        items=12, legs={FULL: Leg(change=change), "fresh": Leg(change=(*change, "model.fresh=true"), asks="what is the start worth?")}
    )


def test_legs_are_trained_once_and_compared(plan: Plan, tmp_path: Path) -> None:
    done = run_ablations(plan, tmp_path, 0, Console(quiet=True), tiny=True)
    assert set(done) == {FULL, "fresh"}
    stamps = [path.stat().st_mtime_ns for path in sorted(tmp_path.glob("*/finished.json"))]
    assert run_ablations(plan, tmp_path, 1e-9, Console(quiet=True), tiny=True) == done
    assert [path.stat().st_mtime_ns for path in sorted(tmp_path.glob("*/finished.json"))] == stamps
    longer = plan.model_copy(update={"items": 13})
    assert run_ablations(longer, tmp_path, 1e-9, Console(quiet=True), tiny=True).keys() <= {FULL}
    table, plain = report(plan, done, sets_of(plan, tiny=True))
    write_report(tmp_path / "report", table, plain)
    assert "`model.fresh=true`" in (tmp_path / "report" / "ablations.md").read_text(encoding="utf-8")
    assert (tmp_path / "report" / "ablations.json").stat().st_size > 100


def test_differences_are_of_the_same_questions() -> None:
    items = [Item(("the port is 80",), "which", ("80",), 1), Item(("nothing",), "which", (), 0)] * 20
    right = ["80 [1]", NOT_IN_SOURCES] * 20
    wrong = ["port [1]", "nothing [1]"] * 20
    good, bad = (Finished(config={}, seconds=1.0, replies={"s": replies}) for replies in (right, wrong))
    assert figures(items, right) == {"em": 1.0, "f1": 1.0, "abstention_f1": 1.0}
    gap = compare({"s": items}, good, bad)["s"]
    assert (gap["f1"].mean, gap["f1"].low, gap["f1"].high, gap["f1"].n) == (-1.0, -1.0, -1.0, 20)
    assert gap["abstention_f1"].mean == -1.0
    same = compare({"s": items}, good, good)["s"]
    assert all((f.mean, f.low, f.high) == (0.0, 0.0, 0.0) for f in same.values())


def test_an_own_softmax_teaches_each_passage_by_itself() -> None:
    """With every logit equal: one softmax over 2 x 4 places costs log 8; one a passage costs log 4 for the answer's place and for the other's [CLS]."""
    flags = torch.zeros(1, 2, 4, dtype=torch.bool)
    starts = flags.clone()
    starts[0, 1, 2] = True
    zeros = torch.zeros(2, 4, dtype=torch.long)
    batch = PairBatch(zeros, zeros, zeros, ~flags, starts, starts)
    logits = torch.zeros(2, 4, 2)
    assert list_loss(logits, batch)[0].item() == pytest.approx(np.log(8))
    assert list_loss(logits, batch, shared=False)[0].item() == pytest.approx(np.log(4))
    logits[0, 0] = 50.0  # the passage without the answer is sure that it holds none
    assert list_loss(logits, batch, shared=False)[0].item() == pytest.approx(np.log(4) / 2)


def test_the_shipped_legs_are_read_and_bad_ones_told(tmp_path: Path) -> None:
    assert len(load_plan(LEGS).legs) >= 5
    (tmp_path / "a.yaml").write_text("legs: {a: {}, b: {}}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="one leg is named full"):
        load_plan(tmp_path / "a.yaml")
    with pytest.raises(ConfigError, match="missing"):
        load_plan(tmp_path / "b.yaml")


def test_a_run_can_start_from_what_is_served(tiny_bert: Path, tmp_path: Path) -> None:
    """The int8 flavor widened again points where its parent did, and a run goes on from it."""
    first = PointerConfig.model_validate(
        {
            "model": {"base": str(tiny_bert), "vocab_size": 500, "max_tokens": 96}, "data": {"mixture": {"fixture": 1.0}, "lists": 24},
            "optim": {"batch_lists": 4, "learning_rate": 1e-3, "average": 0.5}, "run": {"out": str(tmp_path / "run")},
        }
    )  # fmt: skip
    assert run_pointer(first, Console(quiet=True))
    flavors = tmp_path / "run" / "flavors"
    further = first.model_copy(
        update={"run": first.run.model_copy(update={"out": str(tmp_path / "on"), "init_from": str(flavors / "int8")})}
    )
    both, pieces = start(further, [])
    parent = newest(tmp_path / "run", first)
    assert pieces == (tmp_path / "run" / "vocab.txt").read_text(encoding="utf-8").splitlines()
    for (name, ours), theirs in zip(both.model.named_parameters(), parent.parameters(), strict=True):
        step = float((theirs.amax() - theirs.amin()) / 127)
        assert torch.allclose(ours, theirs, atol=step), name
    assert run_pointer(further, Console(quiet=True))
    export_run(tmp_path / "run", flavors, ("fp32",), Console(quiet=True))
    with pytest.raises(CheckpointError, match="only int8"):
        start(further.model_copy(update={"run": further.run.model_copy(update={"init_from": str(flavors / "fp32")})}), [])
