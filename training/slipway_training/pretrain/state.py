"""Checkpoints: safetensors for numbers, JSON for counters, a digest of every file; written whole or not at all, and passed over when damaged.

It knows files, and torch's way to gather the state of plain, data-parallel and sharded modules. It refuses to know the loop. Nothing is pickled.
"""

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import save_torch_state_dict
from pydantic import BaseModel, ConfigDict
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_state_dict, set_state_dict

from slipway_training.errors import CheckpointError

CURSOR, GROUPS = "cursor.json", "groups.json"
Tensors = dict[str, Tensor]


class Cursor(BaseModel):
    """Where a run stands. Rows and random numbers are functions of these counters, so there is no other state of samplers and generators."""

    model_config = ConfigDict(frozen=True)

    step: int = 0
    rows: int = 0
    tokens: int = 0
    seconds: float = 0.0
    skipped: int = 0
    norms: tuple[float, ...] = ()
    """Gradient norms of the last steps, by which a spike is told."""
    fingerprint: str = ""
    digests: dict[str, str] = {}


@dataclass(frozen=True, slots=True)
class State:
    """Everything of a run that is not its cursor, by file stem: `model`, `optimizer` (name.key), and `ema` where there is one; `groups` are hyperparameters."""

    tensors: dict[str, Tensors]
    groups: list[dict[str, Any]]


def collect(network: nn.Module, optimizers: list[torch.optim.Optimizer], ema: list[Tensor] | None) -> State:
    """The whole state on the CPU; on processes other than the first it is empty under sharding. Every process must call it."""
    both: Any = get_state_dict(network, optimizers, options=StateDictOptions(full_state_dict=True, cpu_offload=True))
    model, optimizer = both
    flat = {f"{name}/{key}": torch.as_tensor(value) for name, values in optimizer.get("state", {}).items() for key, value in values.items()}
    tensors: dict[str, Tensors] = {"model": _untied(model, network), "optimizer": flat}
    if ema is not None:
        names = [name for name, _ in network.named_parameters()]
        tensors["ema"] = {name: _whole(tensor) for name, tensor in zip(names, ema, strict=True)}
    return State(tensors, list(optimizer.get("param_groups", [])))


def put_back(network: nn.Module, optimizers: list[torch.optim.Optimizer], ema: list[Tensor] | None, state: State) -> None:
    """Load `state` into everything. Every process must call it, each with the whole state."""
    nested: dict[str, Any] = {}
    for key, value in state.tensors["optimizer"].items():
        name, _, field = key.rpartition("/")
        nested.setdefault(name, {})[field] = value
    weights: dict[str, Any] = dict(state.tensors["model"])
    moments: Any = {"state": nested, "param_groups": state.groups}
    options = StateDictOptions(full_state_dict=True, strict=False)
    set_state_dict(network, optimizers, model_state_dict=weights, optim_state_dict=moments, options=options)
    if ema is not None:
        for tensor, (name, parameter) in zip(ema, network.named_parameters(), strict=True):
            _fill(tensor, state.tensors["ema"][name], parameter)


def save(folder: Path, state: State, cursor: Cursor, keep: int, shard_mb: int) -> Path:
    """Write `folder/step-N` and drop all but the newest `keep`. Raises OSError (a full disk), and leaves nothing behind then."""
    final = folder / f"step-{cursor.step:08d}"
    part = folder / f".{final.name}.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        for stem, tensors in state.tensors.items():
            save_torch_state_dict(tensors, part, filename_pattern=f"{stem}{{suffix}}.safetensors", max_shard_size=shard_mb * 2**20)
        (part / GROUPS).write_text(json.dumps(state.groups), encoding="utf-8")
        digests = {path.name: _digest(path) for path in sorted(part.iterdir())}
        (part / CURSOR).write_text(cursor.model_copy(update={"digests": digests}).model_dump_json(), encoding="utf-8")
    except (OSError, SafetensorError) as error:
        shutil.rmtree(part, ignore_errors=True)
        raise OSError(f"{final.name} could not be written: {error}") from error
    shutil.rmtree(final, ignore_errors=True)
    part.rename(final)
    for old in sorted(folder.glob("step-*"))[:-keep]:
        shutil.rmtree(old, ignore_errors=True)
    return final


def newest(folder: Path, fingerprint: str | None) -> tuple[State | None, Cursor, list[str]]:
    """The newest whole checkpoint of `folder` (None where there is none), its cursor, and what was passed over, in words.

    `fingerprint` None takes any run's; raises CheckpointError when the newest whole one belongs to another run.
    """
    notes: list[str] = []
    for path in sorted(folder.glob("step-*"), reverse=True):
        try:
            cursor = Cursor.model_validate_json((path / CURSOR).read_text(encoding="utf-8"))
            damaged = [name for name, digest in cursor.digests.items() if _digest(path / name) != digest]
            if damaged:
                raise ValueError(f"{damaged[0]} is not what was written")
            groups = json.loads((path / GROUPS).read_text(encoding="utf-8"))
            stems = {name.split(".")[0].split("-")[0] for name in cursor.digests if name.endswith(".safetensors")}
            state = State({stem: _load(path, stem) for stem in stems}, groups)
        except (OSError, ValueError, SafetensorError) as error:
            notes.append(f"{path.name} is damaged ({error}); the one before it is used")
            continue
        if fingerprint is not None and cursor.fingerprint != fingerprint:
            raise CheckpointError(f"{path} is of another recipe or other data; choose another run.out or remove it")
        return state, cursor, notes
    return None, Cursor(fingerprint=fingerprint or ""), notes


def _load(folder: Path, stem: str) -> Tensors:
    return {k: v for path in sorted(folder.glob(f"{stem}*.safetensors")) for k, v in load_file(path).items()}


def _untied(tensors: dict[str, Any], network: nn.Module) -> Tensors:
    """Each tensor once: a tied output matrix is the input embedding."""
    names = {name for name, _ in network.named_parameters()}
    return {name: tensor for name, tensor in tensors.items() if name in names}


def _whole(tensor: Tensor) -> Tensor:
    gather = getattr(tensor, "full_tensor", None)
    return (gather() if gather is not None else tensor).detach().cpu()


def _fill(target: Tensor, whole: Tensor, like: Tensor) -> None:
    """Copy `whole` into `target`, which is sharded as `like` is."""
    mesh = getattr(like, "device_mesh", None)
    if mesh is None:
        target.copy_(whole)
        return
    from torch.distributed.tensor import DTensor, distribute_tensor

    assert isinstance(like, DTensor)
    target.copy_(distribute_tensor(whole.to(like.device), mesh, like.placements))


def _digest(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
