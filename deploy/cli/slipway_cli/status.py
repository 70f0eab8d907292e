"""What runs now: one row per process, asked of the kernel and of the processes themselves, not only read from a file. It refuses to change anything."""

from dataclasses import dataclass

import psutil
from rich.table import Table

from slipway_cli import parts, processes, state


@dataclass(frozen=True)
class Row:
    """One process. `rss_bytes` counts its resident memory, children included."""

    name: str
    pid: int | None
    port: int
    ready: bool
    rss_bytes: int
    restarts: int
    phase: str


def rows(now: state.State) -> list[Row]:
    """A row per part, in the order of the start."""
    return [_row(part, now) for part in now.parts]


def table(now: state.State) -> Table:
    """The rows for a terminal."""
    out = Table("process", "pid", "port", "ready", "memory", "restarts", title=f"Slipway, serving {now.model}", title_justify="left")
    for row in rows(now):
        ready = "[green]yes[/]" if row.ready else f"[red]no[/] ({row.phase})"
        out.add_row(row.name, str(row.pid or "-"), str(row.port), ready, f"{row.rss_bytes / (1 << 20):.0f} MiB", str(row.restarts))
    return out


def _row(part: state.PartState, now: state.State) -> Row:
    process = processes.find(part.pid, part.created)
    return Row(
        part.name,
        process.pid if process else None,
        part.port,
        process is not None and _ready(part, now),
        _rss(process),
        part.restarts,
        part.phase,
    )


def _ready(part: state.PartState, now: state.State) -> bool:
    match part.name:
        case "redis":
            return parts.redis_ready(part.port)
        case "envoy":
            return parts.http_ready(now.ports["SLIPWAY_ADMIN_PORT"], "/ready")
        case _:
            return parts.http_ready(part.port)


def _rss(process: psutil.Process | None) -> int:
    if process is None:
        return 0
    total = 0
    try:
        for one in [process, *process.children(recursive=True)]:
            total += one.memory_info().rss
    except psutil.Error:
        return total
    return total
