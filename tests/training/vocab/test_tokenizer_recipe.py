import json
import signal
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from slipway_training.cli import app
from slipway_training.data.mixture import MixtureConfig
from slipway_training.data.prepare import prepare
from slipway_training.errors import ConfigError, TrainingError
from slipway_training.recipes import FOLDER, recipe
from slipway_training.vocab.config import TokenizerConfig
from slipway_training.vocab.lock import load_frozen, verify
from transformers import AutoTokenizer
from typer.testing import CliRunner

QUIET = Console(quiet=True)


def tiny(out: Path, *overrides: str) -> TokenizerConfig:
    config = recipe("tokenizer").load(None, [f"out={out}", *overrides], tiny=True)
    assert isinstance(config, TokenizerConfig)
    return config


def test_the_tiny_recipe_ends_in_a_frozen_folder_that_transformers_reads(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["train", "tokenizer", "--tiny", f"out={tmp_path}"])
    assert result.exit_code == 0, result.output
    assert "texts come back" in result.output and "frozen in" in result.output
    lock = verify(tmp_path / "tokenizer")
    loaded = AutoTokenizer.from_pretrained(tmp_path / "tokenizer")
    text = "The old gate — naïve, 1234!\n"
    assert loaded.decode(loaded(text)["input_ids"]) == text
    assert loaded.eos_token_id == 1 and len(loaded) == lock.vocab_size == 512
    assert loaded.apply_chat_template([{"role": "user", "content": "hi"}], tokenize=False) == "<|user|>hi<|end|>"
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert report["coverage"]["byte_tokens"] == 256
    assert {s["licence"] for s in report["sources"]} == {"Apache-2.0"}
    assert set(report["audit"]["domains"]) == {"tales", "notes"}
    assert report["audit"]["domains"]["tales"]["bytes_per_token"] > 2


@pytest.mark.parametrize("kind", ["sentencepiece_bpe", "sentencepiece_unigram"])
def test_the_other_kinds_keep_their_model_file_in_the_lock(tmp_path: Path, kind: str) -> None:
    assert recipe("tokenizer").start(tiny(tmp_path, f"kind={kind}", "vocab_size=460"), QUIET)
    assert "tokenizer.model" in verify(tmp_path / "tokenizer").files
    assert len(AutoTokenizer.from_pretrained(tmp_path / "tokenizer")) == 460


def test_the_same_recipe_gives_the_same_digest_and_another_text_another(tmp_path: Path) -> None:
    def digest(name: str, *more: str) -> str:
        recipe("tokenizer").start(tiny(tmp_path / name, *more), QUIET)
        return load_frozen(tmp_path / name / "tokenizer")[1]

    assert digest("one") == digest("two") != digest("three", "mixture.sources.0.url=invented:100/9")


def test_later_steps_refuse_a_tokenizer_that_was_changed(tmp_path: Path) -> None:
    recipe("tokenizer").start(tiny(tmp_path), QUIET)
    path = tmp_path / "tokenizer" / "tokenizer.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"model_max_length"', '"x"') + " ", encoding="utf-8")
    mixture = tiny(tmp_path).mixture
    assert isinstance(mixture, MixtureConfig)
    with pytest.raises(ConfigError, match="changed after it was frozen"):
        prepare(mixture, tmp_path / "tokenizer", tmp_path / "rows", QUIET)


def test_a_signal_stops_it_and_the_same_words_go_on(tmp_path: Path) -> None:
    """The signal is in the air as soon as the first step begins; nothing is frozen then, and the next run ends as any other."""

    class Interrupting(Console):
        def print(self, *said: object, **how: Any) -> None:
            if "clean invented-tales" in str(said):
                signal.raise_signal(signal.SIGTERM)

    assert not recipe("tokenizer").start(tiny(tmp_path), Interrupting(quiet=True))
    assert not (tmp_path / "tokenizer").exists() and (tmp_path / "work" / "clean" / "invented-tales.json").is_file()
    assert recipe("tokenizer").start(tiny(tmp_path), QUIET)
    verify(tmp_path / "tokenizer")


def test_a_dry_run_says_text_and_time_and_writes_nothing(tmp_path: Path) -> None:
    rows = dict(recipe("tokenizer").dry_run(tiny(tmp_path / "none")))
    assert rows["vocabulary"].startswith("512 tokens") and rows["expected"].endswith(" h")
    assert not (tmp_path / "none").exists()


def test_the_real_recipe_names_the_setting_that_it_needs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("SLIPWAY_DATA_DIR", raising=False)
    with pytest.raises(ConfigError, match="SLIPWAY_DATA_DIR"):
        recipe("tokenizer").load(None, [], tiny=False)
    monkeypatch.setenv("SLIPWAY_DATA_DIR", str(tmp_path))
    config = recipe("tokenizer").load(None, [], tiny=False)
    assert isinstance(config, TokenizerConfig)
    assert config.vocab_size == 8192 and all(s.licence and s.attribution for s in config.mixture.sources)
    with pytest.raises(TrainingError, match="no file at"):
        recipe("tokenizer").start(config.model_copy(update={"out": str(tmp_path / "out")}), QUIET)
    assert (FOLDER / "tokenizer" / "README.md").is_file()
