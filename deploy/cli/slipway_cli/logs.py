"""Log files at a terminal: their last lines, and what comes. It refuses to understand a line."""

import time
from collections.abc import Callable
from pathlib import Path

FOLLOW_SECONDS = 0.3
MAX_TAIL_BYTES = 1 << 20


def tail(log: Path, count: int) -> list[str]:
    """The last `count` lines of `log`, out of its last MAX_TAIL_BYTES; none where it cannot be read."""
    try:
        with log.open("rb") as handle:
            handle.seek(max(0, log.stat().st_size - MAX_TAIL_BYTES))
            lines = handle.read().decode(errors="replace").splitlines()
    except OSError:
        return []
    return lines[-count:] if count else []


def show(files: list[Path], count: int, line: Callable[[str, str], None], *, follow: bool) -> None:
    """Give the last `count` lines of each file to `line` (name of the part, text); with `follow`, for ever also what is written after."""
    ends: dict[Path, int] = {}
    for file in files:
        ends[file] = file.stat().st_size
        for text in tail(file, count):
            line(file.stem, text)
    while follow:
        time.sleep(FOLLOW_SECONDS)
        for file in files:
            ends[file] = _fresh(file, ends[file], line)


def _fresh(file: Path, end: int, line: Callable[[str, str], None]) -> int:
    size = file.stat().st_size if file.exists() else 0
    if size < end:
        end = 0  # a log that shrank was begun anew
    if size > end:
        with file.open("rb") as handle:
            handle.seek(end)
            for text in handle.read(size - end).decode(errors="replace").splitlines():
                line(file.stem, text)
    return size
