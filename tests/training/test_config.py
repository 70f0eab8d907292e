from pathlib import Path

import pytest
from slipway_training.config import load_config
from slipway_training.errors import ConfigError
from slipway_training.recipes import FOLDER as RECIPES


@pytest.mark.parametrize("name", ["config.yaml", "config.tiny.yaml"])
def test_shipped_recipes_load(name: str) -> None:
    config = load_config(RECIPES / "reader" / name, [])
    assert sum(stage.share for stage in config.data.stages) == pytest.approx(1.0)
    assert max(stage.max_tokens for stage in config.data.stages) <= config.model.context_tokens


def test_overrides_win() -> None:
    config = load_config(RECIPES / "reader" / "config.yaml", ["model.layers=3", "optim.learning_rate=1e-4"])
    assert (config.model.layers, config.optim.learning_rate) == (3, 1e-4)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("model.layers=0", "model.layers"),
        ("model.heads=7", "model"),
        ("model.colour=red", "model.colour"),
        ("just-a-word", "key=value"),
        ("data.abstain_share=2", "abstain_share"),
    ],
)
def test_what_is_wrong_is_named(override: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load_config(RECIPES / "reader" / "config.yaml", [override])


def test_a_missing_recipe_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="missing"):
        load_config(tmp_path / "none.yaml", [])
