"""Several processes of one tuning run (torchrun): which of them writes, how they wait for one another and agree on a stop.

It knows torch's process group, which the Trainer then uses for data parallel steps. It refuses to know files and losses. With one process everything here
is nothing.
"""

import os
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from rich.console import Console

from slipway_training.errors import ConfigError
from slipway_training.pretrain.processes import join_processes


@dataclass(frozen=True, slots=True)
class Processes:
    """This process's number among all of the run."""

    rank: int = 0
    world: int = 1

    @property
    def first(self) -> bool:
        """Whether this one writes what all share."""
        return self.rank == 0

    def console(self, console: Console) -> Console:
        """`console` in the first process, a silent one in the others: every line is said once."""
        return console if self.first else Console(quiet=True)

    def wait(self) -> None:
        """Until all have come here."""
        if self.world > 1:
            dist.barrier()

    @contextmanager
    def first_before_others(self) -> Generator[None]:
        """The body runs in the first process; the others run it when that is done and find what it has written."""
        if not self.first:
            self.wait()
        yield
        if self.first:
            self.wait()

    def any(self, mine: bool) -> bool:
        """Whether any process says yes; every process must ask at the same step."""
        if self.world == 1:
            return mine
        told = torch.tensor(int(mine), device="cuda" if dist.get_backend() == "nccl" else "cpu")
        dist.all_reduce(told, op=dist.ReduceOp.MAX)
        return bool(told)

    def share(self, rows: int) -> int:
        """Rows of a batch of `rows` that each process takes; raises ConfigError when they cannot be shared out evenly."""
        if rows % self.world:
            raise ConfigError(
                f"optim.batch_rows={rows} cannot be shared out among {self.world} processes; make it a multiple of {self.world}"
            )
        return rows // self.world


def join() -> Processes:
    """Open the group under torchrun, once; where there is none, one process."""
    join_processes(gpu=torch.cuda.is_available())
    return here()


def here() -> Processes:
    """This process, as the open group says."""
    return Processes(dist.get_rank(), dist.get_world_size()) if dist.is_available() and dist.is_initialized() else Processes()


def alone(recipe: str) -> None:
    """Raises ConfigError under torchrun: the recipe's processes would write the same files."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ConfigError(
            f"{recipe} runs in one process: start `slipway train` without torchrun (pretrain, sft, lora, dpo and distill are the recipes that share a run)"
        )
