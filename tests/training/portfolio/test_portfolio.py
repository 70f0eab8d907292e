"""The pretrain portfolio end to end in its tiny form, taken up again, within a budget; and the arithmetic of its intervals."""

import json
import math
from pathlib import Path

import pytest
from rich.console import Console
from slipway_training.cli import app
from slipway_training.errors import ConfigError, DataMissing
from slipway_training.portfolio import corpus, flavors
from slipway_training.portfolio.intervals import paired_gap, t_interval
from slipway_training.portfolio.legs import config_of, run_all, transfer_configs
from slipway_training.portfolio.plan import LEGS, Transfer, load_plan, tiny
from slipway_training.pretrain.config import PretrainConfig
from slipway_training.pretrain.model import parameter_count
from slipway_training.recipes import recipe
from typer.testing import CliRunner


@pytest.fixture
def no_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLIPWAY_DATA_DIR", raising=False)


def test_one_command_leaves_a_report_and_goes_on_where_it_was(tmp_path: Path, no_data: None) -> None:
    words = ["portfolio", "pretrain", "--tiny", "--out", str(tmp_path / "runs"), "--report", str(tmp_path / "report")]
    first = CliRunner().invoke(app, words)
    assert first.exit_code == 0, first.output
    results = json.loads((tmp_path / "report" / "results.json").read_text(encoding="utf-8"))
    assert set(results["legs"]) == {"full", "linear"}
    assert set(results["legs"]["full"]) == {"17", "18"}
    assert results["differences"]["linear"][3] == 2
    assert len(results["transfer"]) == 2 * 2 * 2
    assert [cost["flavor"] for cost in results["flavors"]["small"]] == ["f16", "int8", "int4"]
    sizes = [cost["bytes"] for cost in results["flavors"]["small"]]
    assert sizes == sorted(sizes, reverse=True)
    assert all(cost["decode_tokens_per_second"] > 0 and cost["rss_mb"] > 20 for cost in results["flavors"]["small"])
    assert abs(results["flavor_loss"]["int8"][0]) < 0.05
    assert results["large"]["parameters"].startswith("2")
    page = (tmp_path / "report" / "README.md").read_text(encoding="utf-8")
    for plot in ("ablations.svg", "transfer.svg", "flavors.svg"):
        assert f"]({plot})" in page
        assert (tmp_path / "report" / plot).stat().st_size > 2000
    _taken_up_again(tmp_path / "runs")


def _taken_up_again(runs: Path) -> None:
    """A finished leg is not run again; a changed one is; without time nothing is begun."""
    plan = tiny(load_plan(LEGS))
    stamps = {path: path.stat().st_mtime_ns for path in runs.glob("*/finished.json")}
    assert len(stamps) == 2 * 2 + 8
    made = run_all(plan, runs, 1e-9, Console(quiet=True))
    assert made.left_out == []
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps
    other = plan.model_copy(update={"base": (*plan.base, "optim.learning_rate=1e-3")})
    made = run_all(other, runs, 1e-9, Console(quiet=True))
    assert {name for name in made.left_out if not name.startswith("transfer")} == {"full-17", "linear-17", "full-18", "linear-18"}
    assert "slipway_causal" not in (runs / "full-17" / "hf" / "config.json").read_text(encoding="utf-8")


def test_a_shape_is_measured_without_being_trained(tmp_path: Path) -> None:
    config = recipe("pretrain").load(None, ["model.vocab_size=512"], tiny=True)
    assert isinstance(config, PretrainConfig)
    costs = flavors.measure(flavors.of_shape(config, 128, tmp_path), 128, 64, 8, threads=1)
    assert [cost.flavor for cost in costs] == ["f16", "int8", "int4"]
    assert costs[0].bytes > costs[1].bytes > costs[2].bytes
    assert all(cost.prefill_tokens_per_second > 0 and cost.rss_mb > 20 for cost in costs)


def test_every_leg_of_the_recipe_can_be_run_and_is_as_large_as_the_full_one() -> None:
    plan = load_plan(LEGS)
    counts = {
        n: parameter_count(config_of(plan, Path("rows"), leg.change, Path("x")).model, plan.text.vocab_size) for n, leg in plan.legs.items()
    }
    for name, count in counts.items():
        assert count == pytest.approx(counts["full"], rel=0.06), name


def test_only_the_form_changes_between_the_two_transfers() -> None:
    plan = load_plan(LEGS)
    assert isinstance(plan.transfer, Transfer)
    configs = transfer_configs(plan, Path("rows"), Path("out"))
    width, rate = plan.transfer.widths[1], plan.transfer.rates[0]
    plain, mup = configs["standard", width, rate], configs["mup", width, rate]
    assert mup.model.base_width == plan.transfer.widths[0]
    assert plain.model.model_copy(update={"init": "mup"}) == mup.model
    assert plain.optim == mup.optim


def test_intervals_are_students() -> None:
    gap = paired_gap({1: 2.0, 2: 2.2, 3: 2.1, 9: 5.0}, {1: 1.0, 2: 1.3, 3: 0.9})
    assert gap is not None
    assert (gap.mean, gap.n) == (pytest.approx(1.0333, abs=1e-4), 3)
    assert gap.high - gap.mean == pytest.approx(4.3027 * 0.152753 / math.sqrt(3), rel=1e-3)
    assert gap.sure
    assert paired_gap({1: 1.0}, {2: 1.0}) is None
    assert math.isnan(t_interval([1.0]).low)


def test_text_is_packed_once_and_with_its_origin(tmp_path: Path, no_data: None) -> None:
    packed = corpus.prepare(tmp_path, 400, 32, 20_000)
    assert (packed.context, packed.vocab_size) == (32, 400)
    assert packed.provenance[0].origin.licence == "Apache-2.0"
    stamp = (tmp_path / "index.json").stat().st_mtime_ns
    assert corpus.prepare(tmp_path, 400, 32, 20_000).digest == packed.digest
    assert (tmp_path / "index.json").stat().st_mtime_ns == stamp
    with pytest.raises(DataMissing):
        corpus.prepare(tmp_path / "other", 400, 32, 20_000, data=str(tmp_path / "nowhere"))


def test_bad_legs_are_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="missing"):
        load_plan(tmp_path / "no.yaml")
    (tmp_path / "a.yaml").write_text("seeds: [1]\nlegs: {a: {}, b: {}}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="one leg is named full"):
        load_plan(tmp_path / "a.yaml")
    (tmp_path / "b.yaml").write_text("seeds: [1]\nlegs: {full: {chnge: []}}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="chnge"):
        load_plan(tmp_path / "b.yaml")
