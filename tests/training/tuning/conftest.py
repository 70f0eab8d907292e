"""A tiny base model in a folder, and runs of the recipes' tiny forms."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from slipway_training.recipes import recipe
from slipway_training.tuning.base import Opened, make_base, open_base
from slipway_training.tuning.config import Base
from slipway_training.tuning.made import conversations

Tiny = Callable[..., Any]
PICKLES = (".pt", ".pth", ".bin", ".pkl", ".ckpt")


class Fixed:
    """A model that ignores what it is asked and writes the texts that it was given, one after another."""

    device = torch.device("cpu")

    def __init__(self, tokenizer: Any, texts: list[str]) -> None:
        self._rows = [tokenizer(text)["input_ids"] for text in texts]
        self._end = tokenizer.eos_token_id
        self._next = 0

    def eval(self) -> None:
        return None

    def generate(self, input_ids: Any, max_new_tokens: int, **_: Any) -> Any:
        out = torch.full((input_ids.shape[0], input_ids.shape[1] + max_new_tokens), self._end)
        for row in range(input_ids.shape[0]):
            said = self._rows[self._next % len(self._rows)][:max_new_tokens]
            self._next += 1
            out[row, input_ids.shape[1] : input_ids.shape[1] + len(said)] = torch.tensor(said)
        return out


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


@pytest.fixture
def fixed() -> type[Fixed]:
    """A model that writes given texts; see Fixed."""
    return Fixed
