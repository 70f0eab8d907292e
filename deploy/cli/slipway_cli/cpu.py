"""What the processor of this machine can do, and what the installed llama.cpp was compiled for. It refuses to compile: deploy/llamacpp.py does."""

import json
import platform
from pathlib import Path

BUILD_NOTE = "slipway-build.json"


def flags(cpuinfo: Path = Path("/proc/cpuinfo")) -> frozenset[str]:
    """The feature names of the first processor, as the kernel spells them; empty where the kernel does not say."""
    try:
        text = cpuinfo.read_text(encoding="ascii", errors="replace")
    except OSError:
        return frozenset()
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("flags", "Features"):
            return frozenset(value.split())
    return frozenset()


def missing_flags(library_folder: Path, have: frozenset[str] | None = None) -> list[str]:
    """Processor features that the installed llama.cpp uses and this machine lacks: with one of them it would die of an illegal instruction."""
    try:
        note = json.loads((library_folder / BUILD_NOTE).read_text(encoding="utf-8"))
        needed = {str(flag) for flag in note["flags"]}
        machine = str(note["machine"])
    except (OSError, ValueError, KeyError, TypeError):
        return []
    if machine != platform.machine():
        return [machine]
    present = flags() if have is None else have
    return sorted(needed - present) if present else []
