"""Every recipe's tiny form in a process of its own: does it work on this machine, and how many seconds does it take?

It knows processes and the clock. It refuses to know recipes.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from slipway_training.recipes import recipe


@dataclass(frozen=True, slots=True)
class Tried:
    """One tiny run: seconds by the clock and of the processor, and its last words where it failed."""

    name: str
    seconds: float
    cpu_seconds: float
    failed: str = ""


def tried(names: Sequence[str]) -> Iterator[Tried]:
    """Each recipe's tiny form, one after the other, without data folders and with one thread; what it writes is taken away again."""
    environment = {k: v for k, v in os.environ.items() if k != "SLIPWAY_DATA_DIR"} | {"OMP_NUM_THREADS": "1"}
    for name in names:
        with tempfile.TemporaryDirectory() as scratch:
            place = recipe(name).out_key(recipe(name).load(None, [], tiny=True)) + str(Path(scratch) / "run")
            command = [sys.executable, "-m", "slipway_training", "train", name, "--tiny", place]
            begun, before = time.monotonic(), _spent()
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
            words = (done.stderr + done.stdout).strip().splitlines() or [f"exit code {done.returncode}"]
            yield Tried(name, time.monotonic() - begun, _spent() - before, words[-1] if done.returncode else "")


def _spent() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
