"""Optimizers and their schedule: AdamW, or Muon for the matrices; the rates that muP gives each group.

It knows parameter names and torch's optimizers. It refuses to know batches, steps and checkpoints.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn

from slipway_training.pretrain.config import ModelConfig, OptimConfig

EMBEDDINGS = ("embed_tokens", "lm_head")


def make_optimizers(model: nn.Module, shape: ModelConfig, optim: OptimConfig) -> list[torch.optim.Optimizer]:
    """One or two optimizers over all parameters. Each group has `initial`, its highest rate, by which the schedule is multiplied."""
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    by_muon = {name for name, p in named if optim.optimizer == "muon" and p.ndim == 2 and not any(e in name for e in EMBEDDINGS)}
    groups: dict[tuple[float, float], list[Tensor]] = {}
    for name, p in named:
        if name not in by_muon:
            rate = optim.learning_rate * width_factor(name, p, shape)
            groups.setdefault((rate, optim.weight_decay if p.ndim >= 2 else 0.0), []).append(p)
    made: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(
            [{"params": ps, "lr": rate, "initial": rate, "weight_decay": decay} for (rate, decay), ps in groups.items()],
            betas=(optim.beta1, optim.beta2), eps=1e-8, fused=True,
        )
    ]  # fmt: skip
    if by_muon:
        matrices: dict[float, list[Tensor]] = {}
        for name, p in named:
            if name in by_muon:
                matrices.setdefault(optim.muon_learning_rate * spectral_factor(p, shape), []).append(p)
        # match_rms_adamw (Liu et al. 2025, arXiv 2502.16982): updates as large as AdamW's, so that one rate means the same for both.
        muon: Any = torch.optim.Muon(
            [{"params": ps, "lr": rate, "initial": rate} for rate, ps in matrices.items()], weight_decay=optim.weight_decay,
            momentum=0.95, nesterov=True, adjust_lr_fn="match_rms_adamw",
        )  # fmt: skip
        made.append(muon)
    return made


def width_factor(name: str, parameter: Tensor, shape: ModelConfig) -> float:
    """muP's factor on Adam's rate (Yang et al. 2022, table 3): base/width for hidden and output matrices, 1 for input embedding and norms."""
    return shape.base_width / shape.width if shape.init == "mup" and parameter.ndim >= 2 and "embed_tokens" not in name else 1.0


def spectral_factor(parameter: Tensor, shape: ModelConfig) -> float:
    """muP's factor on Muon's rate of one (fan-out, fan-in) matrix.

    An update moves features alike at every width when its spectral norm goes with sqrt(fan-out / fan-in) (Yang, Simon and Bernstein 2023, arXiv 2310.17813).
    Muon's has a norm of one, which match_rms_adamw multiplies by 0.2 sqrt(max(fan-out, fan-in)): that is divided out, so that 1/width, Adam's factor, would
    be wrong here. A square matrix of the base width keeps its rate.
    """
    if shape.init != "mup":
        return 1.0
    fan_out, fan_in = parameter.shape
    return math.sqrt(shape.base_width * fan_out / (fan_in * max(fan_out, fan_in)))


def schedule(optim: OptimConfig, progress: float) -> float:
    """Share of the highest rate at `progress` in [0, 1]: linear warm-up, then cosine or a straight line to `floor_share`, or flat."""
    if progress < optim.warmup_share:
        return max(0.01, progress / optim.warmup_share)
    if optim.schedule == "constant":
        return 1.0
    left = (progress - optim.warmup_share) / max(1e-9, 1.0 - optim.warmup_share)
    falling = 0.5 * (1 + math.cos(math.pi * min(1.0, left))) if optim.schedule == "cosine" else 1.0 - min(1.0, left)
    return optim.floor_share + (1.0 - optim.floor_share) * falling


def set_rates(optimizers: list[torch.optim.Optimizer], share: float) -> None:
    """Every group at `share` of its highest rate."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["initial"] * share
