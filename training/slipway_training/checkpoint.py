"""The state of a run on disk: safetensors for numbers, JSON for counters; never a pickle.

It knows how a checkpoint is written whole or not at all, and that a damaged one is passed over for the one before. It refuses to know how state is used.
"""

import hashlib
import json
import math
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from slipway_training.errors import CheckpointError, Diverged, StackMissing

try:
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file, save_file
except ImportError as error:  # pragma: no cover - depends on the installation
    raise StackMissing(error.name or "torch") from error

if TYPE_CHECKING:
    from torch import Tensor


OTHER = "{} is of another recipe or other data; choose another run.out or remove it"


class Cursor(BaseModel):
    """Where a run stands: the next batch, the tokens seen, the seconds spent, and what the run was made of."""

    model_config = ConfigDict(frozen=True)

    batch: int = 0
    tokens: int = 0
    seconds: float = 0.0
    fingerprint: str = ""
    history: tuple[tuple[int, float, float], ...] = ()
    """(tokens, loss, share of right answer tokens), a point every few steps."""
    digests: dict[str, str] = {}
    """SHA-256 of the files beside it."""


def save(folder: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer, cursor: Cursor, keep: int) -> Path:
    """Write one checkpoint into `folder/step-N`, drop all but the newest `keep`, and return its path.

    Raises CheckpointError (a full disk), and leaves nothing behind then.
    """
    final = folder / f"step-{cursor.batch:08d}"
    part = folder / f".{final.name}.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    weights = {name: p.detach().contiguous() for name, p in model.named_parameters()}
    try:
        save_file(weights, part / "model.safetensors")
        save_file(_optimizer_tensors(optimizer), part / "optimizer.safetensors")
        save_file(_random_states(), part / "rng.safetensors")
        digests = {path.name: _digest(path) for path in sorted(part.iterdir())}
        (part / "cursor.json").write_text(cursor.model_copy(update={"digests": digests}).model_dump_json(), encoding="utf-8")
    except (OSError, SafetensorError) as error:
        shutil.rmtree(part, ignore_errors=True)
        raise CheckpointError(
            f"{final} could not be written ({error}); free some room and start again: the run goes on from the checkpoint before"
        ) from error
    shutil.rmtree(final, ignore_errors=True)
    part.rename(final)
    for old in sorted(folder.glob("step-*"))[:-keep]:
        shutil.rmtree(old, ignore_errors=True)
    return final


def restore(
    folder: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer | None, fingerprint: str | None
) -> tuple[Cursor | None, list[str]]:
    """Load the newest whole checkpoint of `folder` into `model` and `optimizer`.

    `fingerprint` None takes any run's. Returns its cursor (None when there is none) and what was passed over, in words.
    Raises CheckpointError when the newest belongs to another recipe.
    """
    notes: list[str] = []
    for path in sorted(folder.glob("step-*"), reverse=True):
        try:
            cursor = Cursor.model_validate_json((path / "cursor.json").read_text(encoding="utf-8"))
            if changed := [name for name, digest in cursor.digests.items() if _digest(path / name) != digest]:
                raise ValueError(f"{changed[0]} is not what was written")
            weights = load_file(path / "model.safetensors")
            state = load_file(path / "optimizer.safetensors")
            states = load_file(path / "rng.safetensors")
            rng, rng_of_gpu = states["torch"], states.get("cuda")
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            notes.append(f"{path.name} is damaged ({error}); the one before it is used")
            continue
        if fingerprint is not None and cursor.fingerprint != fingerprint:
            raise CheckpointError(OTHER.format(path))
        _load_weights(model, weights)
        if optimizer is not None:
            _load_optimizer(optimizer, state)
            torch.set_rng_state(rng)
            if rng_of_gpu is not None and torch.cuda.is_available():
                torch.cuda.set_rng_state(rng_of_gpu)
        return cursor, notes
    return None, notes


def claim(folder: Path, fingerprint: str) -> None:
    """Raises CheckpointError when `folder` holds checkpoints of another run: before anything of that run is overwritten."""
    for path in sorted(folder.glob("step-*/cursor.json"), reverse=True):
        try:
            found = Cursor.model_validate_json(path.read_text(encoding="utf-8")).fingerprint
        except (OSError, ValueError):
            continue  # `restore` says what it is
        if found != fingerprint:
            raise CheckpointError(OTHER.format(path.parent))
        return


def finite(loss: float, step: int) -> None:
    """Raises Diverged when a loss is no number: every later step would have none either."""
    if not math.isfinite(loss):
        raise Diverged(f"the loss of step {step} is {loss}: the run diverged; lower optim.learning_rate (the checkpoint before is kept)")


def _digest(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _random_states() -> "dict[str, Tensor]":
    states = {"torch": torch.get_rng_state()}
    return states | {"cuda": torch.cuda.get_rng_state()} if torch.cuda.is_available() else states


def _load_weights(model: torch.nn.Module, weights: "dict[str, Tensor]") -> None:
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(weights[name])


def _optimizer_tensors(optimizer: torch.optim.Optimizer) -> "dict[str, Tensor]":
    state = optimizer.state_dict()["state"]
    return {f"{index}.{name}": value.contiguous() for index, values in state.items() for name, value in values.items()}


def _load_optimizer(optimizer: torch.optim.Optimizer, tensors: "dict[str, Tensor]") -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def fingerprint(*parts: object) -> str:
    """One name for everything that a run's numbers depend on."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]
