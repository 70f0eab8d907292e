"""The recipes by name: what each is, its typed configuration, and the functions that plan and run it.

It knows names and where things stand, as text, so that listing recipes loads none of their libraries. It refuses to know what a recipe does.
"""

import gc
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel
from rich.console import Console

from slipway_training.config import load_typed
from slipway_training.errors import ConfigError, StackMissing
from slipway_training.outputs import claimed

FOLDER = Path(__file__).resolve().parents[1] / "recipes"
DEFAULT, TINY = "config.yaml", "config.tiny.yaml"

Rows = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Recipe:
    """One recipe. `config`, `run` and `plan` are "module:name".

    `run(config, console) -> bool` is False when a signal stopped a run that the same words continue; `plan(config)` gives the rows of a dry run.
    """

    name: str
    summary: str
    config: str
    run: str
    plan: str

    def load(self, path: Path | None, overrides: list[str], *, tiny: bool) -> BaseModel:
        """The configuration with its overrides; raises ConfigError."""
        return load_typed(cast("type[BaseModel]", _find(self.config)), path or FOLDER / self.name / (TINY if tiny else DEFAULT), overrides)

    def start(self, config: BaseModel, console: Console) -> bool:
        """Run to the end (True) or to a signal (False); raises TrainingError, before anything is read where the folder of the run cannot be written."""
        run = cast("Callable[[BaseModel, Console], bool]", _find(self.run))
        parts: Any = config
        key = self.out_key(config)
        with claimed(Path(parts.out if key == "out=" else parts.run.out), key):
            return run(config, console)

    def out_key(self, config: BaseModel) -> str:
        """What names the folder of a run: `out=` or `run.out=`."""
        return "out=" if hasattr(config, "out") else "run.out="

    def dry_run(self, config: BaseModel) -> Rows:
        """What a run costs on this machine: (what, value); raises TrainingError."""
        return cast("Callable[[BaseModel], Rows]", _find(self.plan))(config)


_ALL = (
    Recipe(
        "reader", "a decoder that quotes its answer from numbered passages, cites it, or says that they do not hold it",
        "slipway_training.config:ReaderConfig", "slipway_training.reader:run_reader", "slipway_training.plan:reader_rows",
    ),
    Recipe(
        "reranker", "the served cross-encoder: lists that search mined, a listwise loss, distillation from a larger one",
        "slipway_training.reranker.config:RerankerConfig", "slipway_training.reranker.recipe:run", "slipway_training.reranker.plan:plan",
    ),
    Recipe(
        "pointer", "the served reader: an encoder that points at the answer in the passages",
        "slipway_training.pointer.config:PointerConfig", "slipway_training.pointer.recipe:run_pointer", "slipway_training.pointer.plan:plan",
    ),
    Recipe(
        "pretrain", "a base model from packed rows, restartable at any token, on one core or many GPUs",
        "slipway_training.pretrain.config:PretrainConfig", "slipway_training.pretrain.recipe:run", "slipway_training.pretrain.plan:plan",
    ),
    Recipe(
        "tokenizer", "a vocabulary of 8k to 32k tokens that can write every byte: byte-level BPE or sentencepiece, audited and frozen",
        "slipway_training.vocab.config:TokenizerConfig", "slipway_training.vocab.recipe:run", "slipway_training.vocab.recipe:plan",
    ),
    Recipe(
        "safety", "the safety filter's heads: attacks on a model, orders inside passages, harm; on MiniLM's frozen first layers",
        "slipway_training.safety.config:SafetyConfig", "slipway_training.safety.recipe:run", "slipway_training.safety.plan:plan",
    ),
    Recipe(
        "names", "the safety filter's reader of people's names: two small convolutions over MiniLM's frozen first layers",
        "slipway_training.safety.name_config:NamesConfig", "slipway_training.safety.name_recipe:run", "slipway_training.safety.name_recipe:plan",
    ),
    Recipe(
        "sft", "a base model learns to answer from conversations: chat templates, packing, loss on what the assistant says",
        "slipway_training.tuning.config:SftConfig", "slipway_training.tuning.sft:run", "slipway_training.tuning.sft:plan",
    ),
    Recipe(
        "lora", "a low-rank adapter on a base model: rank search, merge, export for llama.cpp and vLLM",
        "slipway_training.tuning.config:LoraConfig", "slipway_training.tuning.lora:run", "slipway_training.tuning.lora:plan",
    ),
    Recipe(
        "dpo", "preferences: pairs from a file, or the model's own right and wrong answers told apart by a verifier",
        "slipway_training.tuning.config:DpoConfig", "slipway_training.tuning.dpo:run", "slipway_training.tuning.dpo:plan",
    ),
    Recipe(
        "distill", "a small model learns from a teacher: from its logits, or from the texts that it writes",
        "slipway_training.tuning.config:DistillConfig", "slipway_training.tuning.distill:run", "slipway_training.tuning.distill:plan",
    ),
)  # fmt: skip
RECIPES = {recipe.name: recipe for recipe in _ALL}


def recipe(name: str) -> Recipe:
    """The recipe of that name; raises ConfigError with the names that there are."""
    if name not in RECIPES:
        raise ConfigError(f"there is no recipe {name!r}; there are: {', '.join(sorted(RECIPES))}")
    return RECIPES[name]


def _find(where: str) -> Any:
    module, _, name = where.partition(":")
    looking = gc.isenabled()
    gc.disable()  # importing a heavy library leaves no garbage, and looking for it takes a fifth of the time
    try:
        return getattr(import_module(module), name)
    except ImportError as error:
        if error.name and error.name.startswith("slipway"):
            raise
        raise StackMissing(error.name or module) from error
    finally:
        if looking:
            gc.enable()
