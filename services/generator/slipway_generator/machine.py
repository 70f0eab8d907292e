"""What this machine is to an engine: usable cores, instruction sets, and the thread settings that follow, each with its reason.

It reads /proc and /sys, and refuses to know any engine.
"""

import math
import os
import platform
from dataclasses import dataclass
from pathlib import Path

MAX_THREADS = 16


@dataclass(frozen=True, slots=True)
class Threads:
    """How many threads compute, and why."""

    count: int
    reason: str


def choose_threads(asked: int | None, cores: int) -> Threads:
    """`asked`, else every usable core but one: HTTP and streaming get a core of their own, because a token that waits for the event loop is a late token."""
    if asked is not None:
        return Threads(asked, "as set")
    if cores <= 2:
        return Threads(1, f"{cores} usable core(s): one computes; a second thread hardly speeds a small model up and delays the streams")
    count = min(cores - 1, MAX_THREADS)
    return Threads(count, f"{cores} usable cores: all but one, which serves HTTP")


def usable_cores() -> int:
    """Physical cores that this process may use: affinity, container quota and hyperthreads considered."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(allowed, _quota(), _physical() or allowed))


def choose_waiting_policy(threads: int) -> dict[str, str]:
    """OpenMP variables to set before the library is loaded; empty where the environment decides already or nothing waits.

    libgomp's workers spin while they wait. On cores that are shared with anything else this costs up to 100x (measured: 3-30 against 259 tokens/s),
    on an idle machine not spinning costs about a fifth; slow is better than stuck.
    """
    if threads == 1 or "OMP_WAIT_POLICY" in os.environ or "GOMP_SPINCOUNT" in os.environ:
        return {}
    return {"GOMP_SPINCOUNT": "0", "OMP_WAIT_POLICY": "passive"}


def cpu_flags(cpuinfo: Path = Path("/proc/cpuinfo")) -> frozenset[str] | None:
    """The first processor's features as the kernel names them; None where the system does not say."""
    if not cpuinfo.is_file():
        return None
    for line in cpuinfo.read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("flags", "Features"):
            return frozenset(value.split())
    return None


def describe() -> str:
    """The machine in a few words, for messages."""
    return f"{platform.machine()} {platform.system()}"


def _quota(root: Path = Path("/sys/fs/cgroup")) -> int:
    try:
        quota, period = (root / "cpu.max").read_text().split()
        return 1 << 16 if quota == "max" else max(1, math.floor(int(quota) / int(period)))
    except (OSError, ValueError):
        return 1 << 16


def _physical(root: Path = Path("/sys/devices/system/cpu")) -> int:
    try:
        siblings = {path.read_text().strip() for path in root.glob("cpu[0-9]*/topology/thread_siblings_list")}
    except OSError:
        return 0
    return len(siblings)
