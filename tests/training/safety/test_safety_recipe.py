"""The safety recipe: the tiny run from end to end, what its file says to the service, its templates, and what it refuses."""

import json
import random
from pathlib import Path

import pytest
import torch
from rich.console import Console
from slipway_safety_filter import features, heads
from slipway_training.cli import app
from slipway_training.errors import ConfigError, DataMissing, TrainingError
from slipway_training.recipes import recipe
from slipway_training.safety import manuals, templates
from slipway_training.safety import recipe as run_room
from slipway_training.safety.config import AttackConfig, SafetyConfig
from slipway_training.safety.heads import BUCKETS, operating_point
from slipway_training.safety.rows import collect, data_folder
from typer.testing import CliRunner

QUIET = Console(quiet=True)


def tiny(*overrides: str) -> SafetyConfig:
    config = recipe("safety").load(None, list(overrides), tiny=True)
    assert isinstance(config, SafetyConfig)
    return config


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("encoder")


def test_the_tiny_run_writes_heads_that_the_service_loads(tmp_path: Path, cache: Path) -> None:
    words = ["train", "safety", "--tiny", f"out={tmp_path}", f"cache={cache}"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    made = heads.load(tmp_path / "heads.safetensors")
    assert made.names == templates.HEADS and made.taps == (2, 4)
    assert made.sparse_weight.shape[0] == BUCKETS == features.BUCKETS
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert set(report["heads"]) == set(templates.HEADS)
    assert sum(report["sources"].values()) == report["rows"]
    assert "hate_davidson" not in report["sources"] and "python_manual" in report["sources"]
    # What was read is kept: the same words read nothing again and come to the same file.
    kept = {file: file.stat().st_mtime_ns for file in (tmp_path / "features").iterdir()}
    assert CliRunner().invoke(app, words).exit_code == 0
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "features").iterdir()} == kept
    again = heads.load(tmp_path / "heads.safetensors")
    assert (again.inner_weight == made.inner_weight).all() and (again.mix == made.mix).all()


def test_the_threshold_stands_where_so_many_harmless_rows_reach_it() -> None:
    torch.manual_seed(3)
    logits = torch.cat([torch.randn(2000, 3) - 4, torch.randn(300, 3) + 3])
    hostile = torch.arange(2300) >= 2000
    slope, bias = operating_point(logits, hostile, ~hostile, AttackConfig(threshold=0.6, false_positives=0.05))
    scores = torch.sigmoid(slope * logits.amax(1) + bias)
    assert slope > 0 and 0.045 <= float((scores[~hostile] >= 0.6).float().mean()) <= 0.055
    assert float((scores[hostile] >= 0.6).float().mean()) > 0.99
    assert operating_point(logits, hostile & False, ~hostile, AttackConfig()) == (1.0, 0.0)


def test_the_plan_says_what_it_costs(cache: Path) -> None:
    rows = dict(recipe("safety").dry_run(tiny(f"cache={cache}")))
    assert rows["open folders"].startswith("none")
    assert float(rows["expected"].split()[0]) < 0.1
    assert "word pieces" in rows["training tokens"]


def test_a_run_without_open_folders_says_so(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLIPWAY_DATA_DIR", raising=False)
    words = ["train", "safety", "--tiny", f"out={tmp_path}", f"cache={cache}"]
    said = CliRunner().invoke(app, [*words, "use_folders=true"]).output
    assert "templates and the Python manual alone" in " ".join(said.split()) and "SLIPWAY_DATA_DIR" in said
    assert "SLIPWAY_DATA_DIR" not in CliRunner().invoke(app, words).output  # asked for


def test_a_split_is_by_template_never_by_text() -> None:
    config = tiny("per_template.developers=3", "per_template.harmless=3")
    rows = [row for row in templates.rows(config, [], random.Random(1)) if row.source.startswith(("harmless/", "developers/"))]
    sides = [{row.fold for row in rows[at : at + 3]} for at in range(0, len(rows), 3)]
    assert all(len(side) == 1 for side in sides) and {0} in sides and {1} in sides
    assert all(set(row.labels.values()) == {0} and set(row.labels) == set(templates.HEADS) for row in rows)
    assert len({row.source for row in rows if row.source.startswith("developers/")}) == 12


def test_rows_are_the_same_each_time_and_no_text_comes_twice() -> None:
    rows = collect(tiny())
    assert collect(tiny()) == rows
    assert len({row.text for row in rows}) == len(rows)


def test_a_template_says_the_same_slot_alike_and_keeps_its_braces() -> None:
    rng = random.Random(1)
    said = {templates.expand("{a|b} <n> {{x}} <n> <other>", {"n": ["1", "2"]}, rng) for _ in range(40)}
    assert said == {f"{c} {n} {{x}} {n} <other>" for c in "ab" for n in "12"}


def test_manuals_leave_out_what_speaks_of_attacks() -> None:
    windows = list(manuals.python_manual(200, random.Random(1)))
    assert len(windows) == 200
    assert all(manuals.MIN_WORDS <= len(text.split()) <= 2 * manuals.WINDOW_WORDS for _, text in windows)
    pages = list(manuals.package_pages(300, random.Random(1)))
    assert pages and not any("jailbreak" in text.lower() for _, text in pages)
    assert {key for key, _ in pages} <= set(manuals.licences())


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataMissing, match="no-folder"):
        data_folder(tiny("use_folders=true", f"data_dir={tmp_path / 'no-folder'}"))
    with pytest.raises(ConfigError, match="per_template"):
        tiny("per_template.attacks=0")


def test_a_reader_that_fails_is_one_sentence(tmp_path: Path) -> None:
    rows = [templates.Row("one text", "test", fold=0)]
    (tmp_path / "file").write_text("")
    with pytest.raises(TrainingError, match="reading the texts failed: "):
        run_room.features(rows, tiny(f"cache={tmp_path / 'file' / 'under'}"), tmp_path / "features")
