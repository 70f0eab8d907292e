"""What a portfolio of ablations is made of: text, legs, seeds, and the widths and rates of the muP transfer; read from a YAML file.

It knows names and ranges. It refuses to know how a leg is run.
"""

from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field

from slipway_training.errors import ConfigError
from slipway_training.recipes import FOLDER

LEGS = FOLDER / "pretrain" / "ablations" / "legs.yaml"
FULL = "full"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Text(_Part):
    """The packed text that every leg reads."""

    vocab_size: Annotated[int, Field(ge=300, le=65535)] = 2048
    context_tokens: Annotated[int, Field(ge=16)] = 128
    characters: Annotated[int, Field(ge=10_000)] = 2_400_000


class Leg(_Part):
    """One change: overrides laid over the base, and what it asks."""

    change: tuple[str, ...] = ()
    asks: str = ""


class Transfer(_Part):
    """Learning rates tried at each width, with muP and without; `rates` are those of the first width."""

    widths: Annotated[tuple[int, ...], Field(min_length=2)]
    rates: Annotated[tuple[float, ...], Field(min_length=2)]
    tokens: Annotated[int, Field(ge=1000)]
    head_width: Annotated[int, Field(ge=2)] = 32


class Plan(_Part):
    """Everything; the leg named `full` is what the others are compared with."""

    text: Text = Text()
    base: tuple[str, ...] = ()
    seeds: Annotated[tuple[int, ...], Field(min_length=1)]
    legs: Annotated[dict[str, Leg], Field(min_length=2)]
    transfer: Transfer | None = None


def load_plan(path: Path) -> Plan:
    """The legs of a YAML file; raises ConfigError."""
    if not path.is_file():
        raise ConfigError(f"{path} is missing")
    try:
        plan = Plan.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (ValueError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: {error}") from error
    if FULL not in plan.legs:
        raise ConfigError(f"{path}: one leg is named {FULL}, the others are compared with it")
    return plan


def tiny(plan: Plan) -> Plan:
    """Two legs, two seeds, two rates, a few thousand tokens: every step in seconds."""
    return plan.model_copy(
        update={
            "text": Text(vocab_size=512, context_tokens=32, characters=40_000),
            "base": (*plan.base, "model.width=32", "model.layers=1", "model.mlp_width=64", "optim.batch_tokens=512", "run.tokens=2048",
                     "data.held_out_rows=8"),
            "seeds": plan.seeds[:2],
            "legs": {FULL: plan.legs[FULL], "linear": Leg(change=("optim.schedule=linear",), asks="a straight line down")},
            "transfer": Transfer(widths=(32, 64), rates=(1e-3, 1e-2), tokens=1024, head_width=16),
        }
    )  # fmt: skip
