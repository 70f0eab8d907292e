"""Where the time of a step goes: torch.profiler over a few steps, a Chrome trace, and the operators that cost most.

It knows the profiler. It refuses to know what the text says.
"""

import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn.functional import cross_entropy
from torch.profiler import ProfilerActivity, profile, record_function

from slipway_training.understand.opened import Opened

WARM_UP = 1


@dataclass(frozen=True, slots=True)
class Operator:
    """One kind of operator over all profiled steps. `self_ms` is its own time on the device that it ran on, `share` of all operators' own time."""

    name: str
    calls: int
    self_ms: float
    share: float
    memory_mb: float


@dataclass(frozen=True, slots=True)
class Profiled:
    """`seconds` of one step by the clock without the profiler, the operators by cost, and the trace's path."""

    seconds: float
    tokens: int
    trained: bool
    operators: list[Operator]
    trace: Path


def profile_steps(opened: Opened, batch: int, length: int, steps: int, trace: Path, *, train: bool) -> Profiled:
    """Profile `steps` forward passes (`train`: training steps with AdamW) over (batch, length) random tokens. Changes the weights when `train`."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = opened.model.to(device)  # type: ignore[arg-type]
    model.train(train).requires_grad_(train)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6, fused=True) if train else None
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(0, model.config.vocab_size, (batch, length + 1), generator=generator).to(device)

    def step() -> None:
        with record_function("forward"), torch.set_grad_enabled(train):
            logits = model(input_ids=ids[:, :-1], use_cache=False).logits
        if optimizer is not None:
            with record_function("loss"):
                loss = cross_entropy(logits.flatten(0, 1).float(), ids[:, 1:].flatten())
            with record_function("backward"):
                loss.backward()
            with record_function("optimizer"):
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)

    for _ in range(WARM_UP):
        step()
    begun = time.perf_counter()
    step()
    if device == "cuda":
        torch.cuda.synchronize()
    seconds = time.perf_counter() - begun
    kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device == "cuda" else [])]
    with profile(activities=kinds, profile_memory=True) as seen:
        for _ in range(steps):
            step()
    trace.parent.mkdir(parents=True, exist_ok=True)
    seen.export_chrome_trace(str(trace))
    model.eval().requires_grad_(False)
    return Profiled(seconds, batch * length, train, _operators(seen, device), trace)


def _operators(seen: profile, device: str) -> list[Operator]:
    phases = ("forward", "loss", "backward", "optimizer")
    rows = [event for event in seen.key_averages() if event.key not in phases and not event.key.startswith("ProfilerStep")]
    cost = [float(e.self_device_time_total if device == "cuda" else e.self_cpu_time_total) / 1e3 for e in rows]
    memory = [float(e.self_device_memory_usage if device == "cuda" else e.self_cpu_memory_usage) / 2**20 for e in rows]
    whole = sum(cost) or 1.0
    made = [Operator(e.key, int(e.count), ms, ms / whole, mb) for e, ms, mb in zip(rows, cost, memory, strict=True)]
    return sorted(made, key=lambda op: -op.self_ms)
