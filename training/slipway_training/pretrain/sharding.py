"""FSDP over the processes of torchrun (ZeRO stages 2 and 3; Rajbhandari et al. 2020, arXiv 1910.02054). It refuses to know the loop."""

from contextlib import AbstractContextManager, contextmanager
from typing import Any, Literal

import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard

from slipway_training.errors import ConfigError
from slipway_training.pretrain.network import Network


def shard(network: Network, form: Literal["zero2", "zero3"], device: str) -> None:
    """Shard in place, a decoder layer at a time. zero3 frees weights after each use; zero2 keeps them until the step. Raises ConfigError without torchrun."""
    if not dist.is_initialized():
        raise ConfigError("run.sharding needs several processes: torchrun --nproc-per-node 2 -m slipway_training train pretrain ...")
    mesh = init_device_mesh(device, (dist.get_world_size(),))
    again = form == "zero3"
    for layer in network.llama.model.layers:
        fully_shard(layer, mesh=mesh, reshard_after_forward=again)
    fully_shard(network, mesh=mesh, reshard_after_forward=again)


def settle(network: nn.Module) -> None:
    """After a forward pass without a backward one: weights that were gathered are freed, so that parameters are shards again."""
    for module in network.modules():
        if isinstance(module, FSDPModule):
            module.reshard()


def no_sync(network: Any) -> AbstractContextManager[None]:
    """Within it gradients stay on their process, for data-parallel and sharded networks."""
    return _unsynced(network) if isinstance(network, FSDPModule) else network.no_sync()


@contextmanager
def _unsynced(network: FSDPModule) -> Any:
    assert isinstance(network, nn.Module)
    network.set_requires_gradient_sync(False)
    try:
        yield
    finally:
        network.set_requires_gradient_sync(True)
