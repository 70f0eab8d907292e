"""Which running processes are ours, and how they are ended.

Every process of a platform carries SLIPWAY_PART=<home>:<part> in its environment, and its children inherit it. Redis writes its title over its environment,
so a process id from the state file counts too, but only together with the time at which the kernel says that the process began: a bare id may long belong
to a stranger. It refuses to end anything without one of these proofs.
"""

import contextlib
import signal
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import psutil

MARK = "SLIPWAY_PART"
SUPERVISOR = "supervisor"


def mark(home: Path, part: str) -> str:
    """The value of SLIPWAY_PART for one part of the platform at `home`."""
    return f"{home}:{part}"


def ours(home: Path) -> Iterator[tuple[str, psutil.Process]]:
    """Every live process of the platform at `home`, with the part that it belongs to."""
    prefix = f"{home}:"
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            value = process.environ().get(MARK, "")
            if value.startswith(prefix) and process.status() != psutil.STATUS_ZOMBIE:
                yield value.removeprefix(prefix), process


def supervisor(home: Path) -> psutil.Process | None:
    """The process that watches over the platform at `home`, if one runs."""
    return next((process for part, process in ours(home) if part == SUPERVISOR), None)


def find(pid: int | None, created: float) -> psutil.Process | None:
    """The process `pid` if it is still the one that began at `created` (Unix seconds) and has not ended."""
    if pid is None:
        return None
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        if abs(process.create_time() - created) < 1.0 and process.status() != psutil.STATUS_ZOMBIE:
            return process
    return None


def end(processes: Iterable[psutil.Process], grace_seconds: float) -> int:
    """Ask `processes` to end, kill those that have not after `grace_seconds`, and return how many had to be killed."""
    waiting = list(processes)
    for process in waiting:
        with contextlib.suppress(psutil.Error):
            process.send_signal(signal.SIGTERM)
    due = time.monotonic() + grace_seconds
    while waiting and time.monotonic() < due:
        waiting = [process for process in waiting if _alive(process)]
        time.sleep(0.05)
    for process in waiting:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(waiting, timeout=5.0)
    return len(waiting)


def sweep(home: Path, grace_seconds: float = 10.0, recorded: Iterable[tuple[str, psutil.Process]] = ()) -> list[str]:
    """End everything of the platform at `home`, the supervisor first so that it restarts nothing; the names of the parts that were still there.

    `recorded` are processes that the caller has proof of (see `find`).
    """
    others = list(recorded)
    found = [*ours(home), *others]
    end([process for part, process in found if part == SUPERVISOR], grace_seconds)
    end([process for _, process in [*ours(home), *others] if _alive(process)], grace_seconds)
    return sorted({part for part, _ in found})


def _alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
