"""The typed form of a reader recipe's config.yaml, and how overrides are laid over it.

It knows names, units, defaults and their ranges. It refuses to know how anything is done.
"""

import re
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, TypeVar

from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from yaml import YAMLError

from slipway_training.costs import Price
from slipway_training.errors import ConfigError

ConfigT = TypeVar("ConfigT", bound=BaseModel)
_UNSET = re.compile(r"Environment variable '(\w+)' not found")
Share = Annotated[float, Field(ge=0.0, le=1.0)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelConfig(_Part):
    """Shape of a Llama decoder. Widths that are multiples of 256 keep the K-quants of GGUF possible."""

    vocab_size: Annotated[int, Field(ge=300, le=65535)] = 8192
    width: Annotated[int, Field(ge=32)] = 256
    layers: Annotated[int, Field(ge=1)] = 6
    heads: Annotated[int, Field(ge=1)] = 8
    kv_heads: Annotated[int, Field(ge=1)] = 4
    mlp_width: Annotated[int, Field(ge=32)] = 512
    context_tokens: Annotated[int, Field(ge=64)] = 1024
    rope_theta: Annotated[float, Field(gt=0)] = 10000.0
    copy_start: Annotated[float, Field(ge=0, le=2, description="strength of the copy-friendly start; 0 is the plain one")] = 0.5

    @model_validator(mode="after")
    def _fits(self) -> "ModelConfig":
        if self.width % self.heads or self.heads % self.kv_heads or (self.width // self.heads) % 2:
            raise ValueError("heads must divide width, kv_heads must divide heads, and the head width must be even")
        return self


class Stage(_Part):
    """One step of the curriculum: short rows first. `share` is its part of all tokens."""

    share: Share
    passages: tuple[int, int]
    words: Annotated[int, Field(ge=10, description="at most this many words in all passages of a row")]
    turns: Annotated[int, Field(ge=1, le=40)]
    max_tokens: Annotated[int, Field(ge=64)]
    echo_share: Annotated[Share, Field(description="share of questions that ask for a whole passage")] = 0.0


class DataConfig(_Part):
    """The mixture (weights need not sum to one) and the curriculum."""

    mixture: dict[str, float]
    stages: Annotated[tuple[Stage, ...], Field(min_length=1)]
    tokens: Annotated[int, Field(ge=1000, description="training tokens, all stages together")]
    abstain_share: Share = 0.2
    quote_share: Share = 0.15


class OptimConfig(_Part):
    """AdamW with warm-up and a straight line to zero (Bergsma et al. 2025, arXiv 2502.15938)."""

    learning_rate: Annotated[float, Field(gt=0)] = 2e-3
    warmup_share: Share = 0.03
    weight_decay: Annotated[float, Field(ge=0)] = 0.05
    beta2: Annotated[float, Field(gt=0, lt=1)] = 0.98
    clip_norm: Annotated[float, Field(gt=0)] = 1.0
    label_smoothing: Share = 0.0
    first_token_weight: Annotated[
        float, Field(ge=1, description="weight of a reply's first token: finding the place, where the rest is copying")
    ] = 1.0
    batch_tokens: Annotated[int, Field(ge=64, description="tokens of one optimizer step, padding not counted")] = 4096
    prefix_loss: Annotated[float, Field(ge=0, description="weight of the next-token loss on passages and questions")] = 0.0
    prefix_loss_until: Share = 0.3
    prefix_loss_tokens: Annotated[int, Field(ge=0, description="at most this many passage tokens of a batch enter that loss")] = 512


class RunConfig(_Part):
    """Where and how long. `minutes` is a guard: learning rate and stop follow the clock when the tokens would take longer."""

    seed: int = 17
    threads: Annotated[int, Field(ge=1)] = 1
    minutes: Annotated[float, Field(ge=0, description="0 means no guard, and a run that can be repeated bit by bit")] = 0.0
    checkpoint_every_steps: Annotated[int, Field(ge=1)] = 100
    keep_checkpoints: Annotated[int, Field(ge=1)] = 2
    price_per_hour: Price = 0.0
    out: str = "runs/reader"
    init_from: Annotated[str, Field(description="folder of an earlier run: its tokenizer and weights are the start of this one")] = ""
    data_dir: str = ""


class ReaderConfig(_Part):
    """The whole recipe."""

    name: str = "slipway-reader-llama"
    model: ModelConfig = ModelConfig()
    data: DataConfig
    optim: OptimConfig = OptimConfig()
    run: RunConfig = RunConfig()


def load_config(path: Path, overrides: list[str]) -> ReaderConfig:
    """The decoder's recipe at `path` with overrides; see `load_typed`."""
    return load_typed(ReaderConfig, path, overrides)


def load_typed(kind: type[ConfigT], path: Path, overrides: list[str]) -> ConfigT:
    """The recipe at `path`, composed by Hydra with `key=value` overrides, as a `kind`; raises ConfigError naming the key that is wrong.

    `model.layers=4` sets a key whether the file states it or not (the typed form knows which exist); where a folder `model/` of choices lies
    beside the file, `model=wide` takes `model/wide.yaml` (a config group, see Hydra's documentation).
    """
    if not path.is_file():
        raise ConfigError(f"{path} is missing")
    if bad := [o for o in overrides if "=" not in o]:
        raise ConfigError(f"{bad[0]!r} is not of the form key=value, such as optim.learning_rate=1e-3")
    try:
        with initialize_config_dir(str(path.resolve().parent), version_base="1.3"):
            merged = compose(path.stem, [_forced(path.parent, o) for o in overrides])
        return kind.model_validate(OmegaConf.to_container(merged, resolve=True))
    except (HydraException, OmegaConfBaseException, YAMLError) as error:
        unset = _UNSET.search(str(error))
        if unset:
            raise ConfigError(f"{path} reads the environment variable {unset[1]}, which is not set") from error
        raise ConfigError(f"{path}: {' '.join(str(error).split())}") from error
    except ValidationError as error:
        raise ConfigError(said(kind, error)) from error


def said(kind: type[BaseModel], error: ValidationError) -> str:
    """The first thing that pydantic holds against a `kind`, in one sentence: the key, what is wrong, what was given, and what may have been meant."""
    first = error.errors()[0]
    where, what = ".".join(map(str, first["loc"])), first["msg"].removeprefix("Value error, ").partition(", unable to")[0]
    if first["type"] == "extra_forbidden":
        known = _keys(kind)
        section, _, last = where.rpartition(".")
        meant = set(get_close_matches(last, {key.rpartition(".")[2] for key in known}, 3, 0.7))
        near = [key for key in known if key.rpartition(".")[2] in meant]
        near = [key for key in near if key.rpartition(".")[0] == section] or near
        beside = [key for key in known if key.rpartition(".")[0] == section] if section else list(kind.model_fields)
        more = f"; is {' or '.join(near)} meant?" if near else f"; there are {', '.join(beside)}" if beside else ""
        return f"there is no key {where}{more}"
    if first["type"] == "missing":
        return f"{where} must be stated"
    given = first["input"]
    shown = f", not {given!r}" if isinstance(given, str | int | float | bool) else ""
    return f"{where}: {what[:1].lower()}{what[1:]}{shown}" if where else what


def _keys(kind: type[BaseModel], before: str = "") -> list[str]:
    """Every key of a typed form, with dots; lists and dictionaries are not entered."""
    out: list[str] = []
    for name, field in kind.model_fields.items():
        inner: Any = field.annotation
        nested = isinstance(inner, type) and issubclass(inner, BaseModel)
        out += _keys(inner, f"{before}{name}.") if nested else [f"{before}{name}"]
    return out


def _forced(folder: Path, override: str) -> str:
    """Hydra's add-or-set form, unless the override says how it is meant or chooses from a group."""
    key = override.partition("=")[0]
    return override if key[:1] in "+~" or (folder / key).is_dir() else f"++{override}"
