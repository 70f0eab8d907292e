"""How fast this machine could multiply, for the model FLOPs utilisation (MFU): known figures for GPUs, a measured product for CPUs."""

import time

import torch

GPUS = {"H200": 989e12, "H100": 989e12, "A100": 312e12, "L40": 181e12, "L4": 121e12, "V100": 125e12, "T4": 65e12}
"""Dense bf16 (V100, T4: fp16) FLOP/s by NVIDIA's data sheets; the SXM form where there are several."""
SIZE, SECONDS = 1024, 0.4


def peak_flops(device: torch.device) -> float:
    """FLOP/s of one device: the data sheet's for a known GPU, else the best of repeated bf16 products of 1024 x 1024 matrices."""
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
        for known, peak in GPUS.items():
            if known in name:
                return peak
    left, right = (torch.randn(SIZE, SIZE, device=device, dtype=torch.bfloat16) for _ in range(2))
    best, end = float("inf"), time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        start = time.perf_counter()
        product = left @ right
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        best = min(best, time.perf_counter() - start)
        del product
    return 2 * SIZE**3 / best
