"""What the supervisor says about the running platform: one small JSON file, replaced as a whole at each change.

It knows the shape. It refuses to judge whether the processes named in it still live: ids are reused, so processes.py asks the kernel.
"""

import os
import time
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field, ValidationError

PartPhase = Literal["starting", "ready", "restarting", "stopped"]
Phase = Literal["starting", "ready", "stopping", "failed", "stopped"]


class PartState(BaseModel):
    """One process. `created` (Unix seconds, from the kernel) tells it from a later process of the same id."""

    name: str
    port: int
    pid: int | None = None
    created: float = 0.0
    phase: PartPhase = "starting"
    restarts: int = 0
    last_exit: int | None = None


class State(BaseModel):
    """The platform. `problem` says in one sentence why a start failed, `failed_part` whose log tells more."""

    phase: Phase
    pid: int
    created: float
    model: str
    ports: dict[str, int]
    parts: list[PartState] = Field(default_factory=list[PartState])
    problem: str = ""
    failed_part: str = ""
    updated: float = Field(default_factory=time.time)


def read(path: Path) -> State | None:
    """The last state written, or None where there is none that can be read."""
    try:
        return State.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def write(path: Path, state: State) -> None:
    """Replace the file at once, so that no reader ever sees half of it."""
    fresh = path.with_suffix(f".{os.getpid()}")
    fresh.write_text(state.model_dump_json(indent=1), encoding="utf-8")
    fresh.replace(path)
