"""Starting and stopping the platform from a terminal: a supervisor is started detached, its state file is followed, and a start that fails leaves nothing.

It knows the steps of a start. It refuses to start a part itself (supervisor.py) and to talk to the API (up.py).
"""

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import psutil

from slipway_cli import logs, models, places, processes, secret, state

POLL_SECONDS = 0.1
TAIL_LINES = 15
STOP_SECONDS = 90.0


class StartError(Exception):
    """The platform did not start; the message names what to do, or the log to read with its last lines."""


Notice = Callable[[state.State], None]


def running(home: places.Home) -> state.State | None:
    """The state of the platform at `home` if its supervisor lives, else None."""
    now = state.read(home.state)
    alive = processes.find(now.pid, now.created) if now else None
    return now if alive is not None and processes.supervisor(home.path) is not None else None


@contextmanager
def alone(home: places.Home) -> Generator[None]:
    """While this holds, no other command starts the platform at `home`; waits for one that does."""
    home.path.mkdir(parents=True, exist_ok=True)
    with home.up_lock.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def start(home: places.Home, notice: Notice, wait_seconds: float) -> state.State:
    """Start the platform that the environment describes and wait until every part is ready; raises StartError, and then nothing is left running.

    Call it `alone`: it first ends whatever an earlier platform at `home` left behind.
    """
    stop(home)
    ports = places.ports()
    if taken := ports.taken():
        lines = [f"  port {port} is taken{_holder(port)}; set {name} to move it" for name, port in taken]
        raise StartError("Some ports are in use:\n" + "\n".join(lines))
    models.choose(places.project_root())
    secret.local_key(home)
    home.logs.mkdir(parents=True, exist_ok=True)
    home.state.unlink(missing_ok=True)
    process = _detach(home)
    try:
        return follow(home, notice, wait_seconds, process)
    except KeyboardInterrupt:
        stop(home)
        raise


def follow(home: places.Home, notice: Notice, wait_seconds: float, process: "subprocess.Popen[bytes] | None" = None) -> state.State:
    """Wait until the start that is under way at `home` is done; raises StartError."""
    due = time.monotonic() + wait_seconds
    while time.monotonic() < due:
        now = state.read(home.state)
        if now is not None:
            notice(now)
            if now.phase == "ready":
                return now
            if now.phase in ("failed", "stopped"):
                raise StartError(_why(home, now))
        elif process is not None and process.poll() is not None:
            raise StartError(f"The supervisor ended at once. {_tail(home.log('supervisor'))}")
        time.sleep(POLL_SECONDS)
    now = state.read(home.state)
    late = [part for part in now.parts if part.phase != "ready"] if now else []
    stop(home)
    names = ", ".join(part.name for part in late) or "the supervisor"
    log = home.log(late[0].name if late else "supervisor")
    raise StartError(f"Not ready after {wait_seconds:.0f} seconds: {names}. Everything was stopped again. {_tail(log)}")


def stop(home: places.Home) -> list[str]:
    """End everything of the platform at `home`; the names of the parts that ran. A supervisor that was killed leaves parts behind: they are found too."""
    now = state.read(home.state)
    recorded = [(part.name, process) for part in (now.parts if now else ()) if (process := processes.find(part.pid, part.created))]
    return processes.sweep(home.path, STOP_SECONDS, recorded)


def _detach(home: places.Home) -> "subprocess.Popen[bytes]":
    env = {**os.environ, "SLIPWAY_HOME": str(home.path), processes.MARK: processes.mark(home.path, processes.SUPERVISOR)}
    with home.log("supervisor").open("wb") as log:
        # A session of its own: neither the end of the terminal nor its Ctrl-C reaches the platform.
        return subprocess.Popen(
            [sys.executable, "-m", "slipway_cli.supervisor"],
            env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True, cwd=places.project_root(),
        )  # fmt: skip


def _why(home: places.Home, now: state.State) -> str:
    if not now.failed_part:
        return "The platform was stopped while it started."
    return f"{now.problem[0].upper()}{now.problem[1:]}; everything was stopped again. {_tail(home.log(now.failed_part))}"


def _tail(log: Path) -> str:
    lines = logs.tail(log, TAIL_LINES)
    shown = "\n".join(f"  {line}" for line in lines) if lines else "  (it is empty)"
    return f"The log is {log}; its last lines:\n{shown}"


def _holder(port: int) -> str:
    try:
        for connection in psutil.net_connections("tcp"):
            address = connection.laddr
            if address and address.port == port and connection.status == psutil.CONN_LISTEN and connection.pid:
                return f" by {psutil.Process(connection.pid).name()} (pid {connection.pid})"
    except psutil.Error:
        return ""
    return ""
