"""How the processes of torchrun find each other, also after a restart. It knows torchrun's environment. It refuses to know what they do then.

torchrun keeps one store over all attempts of a run and torch writes the addresses of the processes under the same names every time (2.4 and later;
pytorch/pytorch#135712), so after a restart a process may read the address of a dead one, and "Gloo connectFullMesh failed: Connection refused" ends that
attempt too, until the restarts are used up. Here each attempt has names of its own. Where a cluster's agents count restarts differently (several nodes),
TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 gives every attempt a new store instead; `python -m slipway_training slurm` sets it.
"""

import os
from datetime import timedelta

import torch.distributed as dist
from torch._C._distributed_c10d import PrefixStore, TCPStore

TIMEOUT = timedelta(minutes=10)


def join_processes(*, gpu: bool) -> None:
    """Open torch's process group under torchrun; nothing to do for one process, or where it is open."""
    rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1 or dist.is_initialized() or os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        return
    store = TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), world, is_master=False, timeout=TIMEOUT)
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    dist.init_process_group("nccl" if gpu else "gloo", store=PrefixStore(f"attempt-{attempt}", store), rank=rank, world_size=world)
