"""A tiny base model in a folder, and runs of the recipes' tiny forms."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from slipway_training.recipes import recipe
from slipway_training.tuning.base import Opened, make_base, open_base
from slipway_training.tuning.config import Base
from slipway_training.tuning.made import conversations

Tiny = Callable[..., Any]
PICKLES = (".pt", ".pth", ".bin", ".pkl", ".ckpt")


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    texts = [m["content"] for row in conversations(40) for m in row["messages"]]
    return make_base(Base(vocab_size=400, context_tokens=128), texts, tmp_path_factory.mktemp("base") / "hf", seed=17)


@pytest.fixture
def opened(base: Path) -> Opened:
    return open_base(base)


@pytest.fixture
def tiny() -> Tiny:
    """The tiny form of a recipe, writing to `out`."""

    def load(name: str, out: Path, *overrides: str) -> Any:
        return recipe(name).load(None, [f"run.out={out}", *overrides], tiny=True)

    return load


@pytest.fixture
def pickles() -> Callable[[Path], list[Path]]:
    """Files below a folder that only a pickle reader opens."""
    return lambda folder: [path for path in folder.rglob("*") if path.suffix in PICKLES]
