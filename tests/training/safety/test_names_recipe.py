"""The names recipe: the tiny run from end to end, that the service computes what was trained, its texts, and what it refuses."""

import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from slipway_safety_filter import minilm, name_words, names
from slipway_safety_filter.evaluate import names as judged
from slipway_training.cli import app
from slipway_training.errors import DataMissing
from slipway_training.recipes import recipe
from slipway_training.safety import name_lists, name_recipe, name_rows
from slipway_training.safety.name_config import NamesConfig
from slipway_training.safety.name_reader import BEGIN, INSIDE, OUTSIDE, NameReader, tags_of
from typer.testing import CliRunner

QUIET = Console(quiet=True)


def tiny(*overrides: str) -> NamesConfig:
    config = recipe("names").load(None, list(overrides), tiny=True)
    assert isinstance(config, NamesConfig)
    return config


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("encoder")


def test_the_tiny_run_writes_a_reader_that_the_service_loads(tmp_path: Path, cache: Path) -> None:
    words = ["train", "names", "--tiny", f"out={tmp_path}", f"cache={cache}"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    first = (tmp_path / "names.safetensors").read_bytes()
    assert names.load(tmp_path / "names.safetensors").pieces.shape[0] == name_recipe.BUCKETS == name_words.BUCKETS
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert sum(report["sources"].values()) == report["texts"] and report["name_lists"] == "own"
    assert CliRunner().invoke(app, words).exit_code == 0
    assert (tmp_path / "names.safetensors").read_bytes() == first


def test_the_service_computes_what_was_trained(tmp_path: Path, cache: Path) -> None:
    torch.manual_seed(2)
    net = NameReader(minilm.HIDDEN, name_words.SHAPES, name_words.BUCKETS, tiny()).eval()
    net.write(tmp_path / "names.safetensors")
    text = "Dear Mr. Okafor,\nAnna-Lena O'Brien's parcel is late.\nBest, Li"
    words = name_words.WordReader(cache).read(text, name_words.spots(text))
    served = names.load(tmp_path / "names.safetensors").logits(words)
    with torch.no_grad():
        blank = torch.zeros(len(words.states), dtype=torch.bool)
        trained = net(torch.from_numpy(words.states), torch.from_numpy(words.shapes), torch.from_numpy(words.pieces), blank).numpy()
    assert np.abs(served - trained).max() < 0.02  # the file holds float16


def test_a_blank_word_ends_a_text() -> None:
    torch.manual_seed(2)
    net = NameReader(4, 2, 10, tiny()).eval()
    states, shapes, pieces = torch.randn(7, 4), torch.randn(7, 2), torch.randint(0, 10, (7, 6))
    states[3], shapes[3], pieces[3] = 0, 0, 10
    blank = torch.arange(7) == 3
    with torch.no_grad():
        together = net(states, shapes, pieces, blank)
        alone = [net(states[part], shapes[part], pieces[part], blank[part]) for part in (slice(0, 3), slice(4, 7))]
    assert torch.allclose(together[~blank], torch.cat(alone), atol=1e-6)


def test_tags_begin_where_names_begin() -> None:
    text = "Ada Lovelace met Mary."
    tags = tags_of(name_words.spots(text), [(0, 12), (17, 21)])
    assert tags == [BEGIN, INSIDE, OUTSIDE, BEGIN, OUTSIDE]


def test_every_marked_name_is_in_its_text_and_none_is_kept_from_training() -> None:
    lists = name_lists.own()
    rows = list(name_rows.generated(lists, 4, random.Random(3)))
    for row in rows:
        assert "\x02" not in row.text and "\x03" not in row.text and "<" not in row.text.replace(" <", "").replace("\n<", "")
        assert all(row.text[a:b].strip() == row.text[a:b] != "" for a, b in row.names)
        assert not row.source.startswith("nobody") or not row.names
    joined = list(name_rows.joined(rows, random.Random(3)))
    assert len(joined) == len(rows) and any(len(a.text) > len(b.text) for a, b in zip(joined, rows, strict=True))
    assert all(one.text[a:b][0].isalnum() for one in joined for a, b in one.names)


def test_a_sentence_is_read_only_where_every_capital_is_explained() -> None:
    lists = name_lists.own()

    def named(sentence: str) -> list[str] | None:
        places = name_rows.explained(sentence, lists, {"Hume"})
        return None if places is None else [sentence[a:b] for a, b in places]

    assert named("Later Carmen Costa wrote to the town.") == ["Carmen Costa"]
    assert named("Later Dr. Wexford wrote to the town.") == ["Wexford"]
    assert named("It is said that Wexford believed in ghosts.") == ["Wexford"]
    assert named("The town of Lisbon lies on a river.") == []
    assert named("Later Carmen was sung in the town.") is None  # a name, or an opera
    assert named("They read Hume in the garden.") is None
    assert named("Carmen Costa met Ulf Wexley.") is None  # who is the second?


def test_who_is_held_out_is_the_same_for_training_and_evaluation() -> None:
    words = [f"{a}{b}{c}" for a in ("Ann", "Bo", "Çel", "R") for b in ("a", "o", "ić", "u") for c in ("", "ton", "ova")]
    text = [judged.Text(word, ((0, len(word)),), ()) for word in words]
    assert [one.unseen for one in text] == [name_lists.is_held_out(one.text) for one in text]
    assert any(one.unseen for one in text) and not all(one.unseen for one in text)


def test_the_plan_says_what_it_costs(cache: Path) -> None:
    rows = dict(recipe("names").dry_run(tiny(f"cache={cache}")))
    assert rows["open folders"].startswith("none") and float(rows["expected"].split()[0]) < 0.1


def test_a_run_without_open_folders_says_so(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLIPWAY_DATA_DIR", raising=False)
    said = CliRunner().invoke(app, ["train", "names", "--tiny", f"out={tmp_path}", f"cache={cache}", "use_folders=true"]).output
    assert "templates alone" in said and "SLIPWAY_DATA_DIR" in said


def test_a_folder_that_is_named_and_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataMissing, match="is not a folder"):
        name_recipe.collect(tiny("use_folders=true", f"data_dir={tmp_path / 'none'}"))
