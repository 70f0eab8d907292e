"""How this machine multiplies: the precision that pays, and how fast it could, for the model FLOPs utilisation (MFU).

The rate is the data sheet's for known GPUs and a measured product for CPUs.
"""

import time

import torch

from slipway_training.device import multiplies_bf16
from slipway_training.pretrain.config import PretrainConfig

GPUS = {"H200": 989e12, "H100": 989e12, "A100": 312e12, "L40": 181e12, "L4": 121e12, "V100": 125e12, "T4": 65e12}
"""Dense bf16 (V100, T4: fp16) FLOP/s by NVIDIA's data sheets; the SXM form where there are several."""
SIZE, SECONDS = 1024, 0.2


def with_precision(config: PretrainConfig, device: torch.device) -> PretrainConfig:
    """`config` with run.precision=auto made the one that pays on `device`, so that what depends on the numbers (a checkpoint's fingerprint) names it."""
    if config.run.precision != "auto":
        return config
    chosen = "bf16" if multiplies_bf16(device) else "fp32"
    return config.model_copy(update={"run": config.run.model_copy(update={"precision": chosen})})


def peak_flops(device: torch.device) -> float:
    """FLOP/s of one device: the data sheet's for a known GPU, else the best of repeated products of 1024 x 1024 matrices, in bf16 or in float32."""
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
        for known, peak in GPUS.items():
            if known in name:
                return peak
    return max(_measured(device, dtype) for dtype in (torch.bfloat16, torch.float32))


def _measured(device: torch.device, dtype: torch.dtype) -> float:
    left, right = (torch.randn(SIZE, SIZE, device=device, dtype=dtype) for _ in range(2))
    best, end = float("inf"), time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        start = time.perf_counter()
        product = left @ right
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        best = min(best, time.perf_counter() - start)
        del product
    return 2 * SIZE**3 / best
