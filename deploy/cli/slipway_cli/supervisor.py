"""The process that starts the platform's parts, starts again what crashes, and ends them in order: `python -m slipway_cli.supervisor`.

It runs detached under `slipway up`, or in the foreground under an init system. Everything is started from its main thread, because the kernel ties a child to
the thread that made it: should this process be killed, each part gets SIGTERM. It refuses to know what the parts do; ready is what their probe says.
"""

import ctypes
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from slipway_cli import envoy, models, parts, places, processes, secret, state

TICK_SECONDS = 0.1
CALM_SECONDS = 60.0
LONGEST_BACKOFF_SECONDS = 30.0
STOP_SECONDS = 30.0
MAX_LOG_BYTES = 64 << 20
_PR_SET_PDEATHSIG = 1


@dataclass
class Watched:
    """A part and its process. `due` (monotonic seconds) is when a crashed one is started again."""

    part: parts.Part
    process: subprocess.Popen[bytes] | None = None
    created: float = 0.0
    since: float = 0.0
    due: float = 0.0
    ready: bool = False
    restarts: int = 0
    in_a_row: int = 0
    last_exit: int | None = None


class Supervisor:
    """Runs `watched` until told to stop. The first start is all or nothing; after it, a part that ends is started again with growing pauses."""

    def __init__(self, home: places.Home, all_parts: Sequence[parts.Part], model: str, ports: places.Ports) -> None:
        self._home = home
        self._watched = {part.name: Watched(part) for part in all_parts}
        self._stopping = False
        self._saved = ""
        me = psutil.Process()
        self._state = state.State(phase="starting", pid=me.pid, created=me.create_time(), model=model, ports=dict(ports.by_variable))

    def run(self) -> int:
        """0 after an orderly stop, 1 when the start failed."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        for watched in self._watched.values():
            self._start(watched)
        checked = time.monotonic()
        while not self._stopping and not self._state.problem:
            for watched in self._watched.values():
                self._look(watched)
            if self._state.phase == "starting" and all(watched.ready for watched in self._watched.values()):
                self._state.phase = "ready"
            self._save()
            if time.monotonic() - checked > CALM_SECONDS:
                checked = time.monotonic()
                self._bound_logs()
            time.sleep(TICK_SECONDS)
        return self._end()

    def _stop(self, _signal: int, _frame: object) -> None:
        self._stopping = True

    def _start(self, watched: Watched) -> None:
        part = watched.part
        env = {**os.environ, **part.env, "SLIPWAY_HOME": str(self._home.path), processes.MARK: processes.mark(self._home.path, part.name)}
        with self._home.log(part.name).open("ab") as log:
            watched.process = subprocess.Popen(
                part.argv, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
                preexec_fn=_end_with_parent,
            )  # fmt: skip
        watched.since, watched.ready = time.monotonic(), False
        watched.created = _created(watched.process.pid)

    def _look(self, watched: Watched) -> None:
        now = time.monotonic()
        if watched.process is None:
            if now >= watched.due:
                self._start(watched)
        elif (code := watched.process.poll()) is not None:
            self._ended(watched, code)
        elif not watched.ready:
            watched.ready = watched.part.probe()
        elif watched.in_a_row and now - watched.since > CALM_SECONDS:
            watched.in_a_row = 0

    def _ended(self, watched: Watched, code: int) -> None:
        watched.process, watched.ready, watched.last_exit = None, False, code
        _say(f"{watched.part.name} ended with {_reason(code)}")
        if self._state.phase == "starting":
            self._state.problem = f"{watched.part.name} ended with {_reason(code)} while it started"
            self._state.failed_part = watched.part.name
            return
        pause = min(LONGEST_BACKOFF_SECONDS, 0.2 * 2**watched.in_a_row)
        watched.restarts, watched.in_a_row = watched.restarts + 1, watched.in_a_row + 1
        watched.due = time.monotonic() + pause
        _say(f"{watched.part.name} is started again in {pause:.1f} s")

    def _end(self) -> int:
        failed = bool(self._state.problem)
        self._state.phase = "stopping"
        self._save()
        for stage in parts.STOP_ORDER:
            running = [w.process for name in stage if (w := self._watched.get(name)) and w.process is not None]
            _end_all(running, STOP_SECONDS)
            for name in stage:
                if watched := self._watched.get(name):
                    watched.process, watched.ready = None, False
            self._save()
        self._state.phase = "failed" if failed else "stopped"
        self._save()
        return 1 if failed else 0

    def _save(self) -> None:
        self._state.parts = [_described(watched, self._state.phase) for watched in self._watched.values()]
        text = self._state.model_dump_json(exclude={"updated"})
        if text != self._saved:
            self._saved, self._state.updated = text, time.time()
            state.write(self._home.state, self._state)

    def _bound_logs(self) -> None:
        for name in self._watched:
            log = self._home.log(name)
            if log.is_file() and log.stat().st_size > MAX_LOG_BYTES:
                # The writers append, so they go on at the new end.
                shutil.copyfile(log, log.with_suffix(".log.1"))
                os.truncate(log, 0)


def main() -> None:
    """Start the platform that the environment describes, and watch over it until SIGTERM."""
    home, ports, root = places.home(), places.ports(), places.project_root()
    home.path.mkdir(parents=True, exist_ok=True)
    lock = home.lock.open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit(f"another supervisor already runs the platform at {home.path}")
    home.logs.mkdir(exist_ok=True)
    (home.path / "redis").mkdir(exist_ok=True)
    choice = models.choose(root)
    envoy.write(root / "envoy" / "envoy.yaml", ports, home.envoy_config)
    secrets = parts.Secrets(secret.local_key(home), secret.admin_token(home))
    all_parts = parts.build(home, ports, choice.setting, secrets, root / "models")
    for part in all_parts:
        _keep_last_log(home.log(part.name))
    sys.exit(Supervisor(home, all_parts, choice.name, ports).run())


def _described(watched: Watched, phase: state.Phase) -> state.PartState:
    process = watched.process
    now: state.PartPhase = "ready" if watched.ready else "starting"
    if process is None:
        now = "stopped" if phase in ("stopping", "stopped", "failed") else "restarting"
    return state.PartState(
        name=watched.part.name, port=watched.part.port, pid=process.pid if process else None, created=watched.created,
        phase=now,
        restarts=watched.restarts, last_exit=watched.last_exit,
    )  # fmt: skip


def _created(pid: int) -> float:
    try:
        return psutil.Process(pid).create_time()
    except psutil.Error:
        return 0.0


def _end_all(running: Sequence[subprocess.Popen[bytes]], grace_seconds: float) -> None:
    for process in running:
        process.terminate()
    due = time.monotonic() + grace_seconds
    while any(process.poll() is None for process in running) and time.monotonic() < due:
        time.sleep(0.02)
    for process in running:
        # Each part leads a process group of its own, so its children go with it.
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _end_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _keep_last_log(log: Path) -> None:
    if log.is_file():
        log.replace(log.with_suffix(".log.1"))


def _reason(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def _say(text: str) -> None:
    print(f"{time.strftime('%Y-%m-%dT%H:%M:%S%z')} {text}", flush=True)


if __name__ == "__main__":
    main()
