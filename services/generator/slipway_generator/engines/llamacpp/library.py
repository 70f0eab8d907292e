"""Loading the native library so that it cannot kill the process: processor checked first, waiting policy set first, log kept.

It knows what the wheel was built with (slipway-build.json beside the libraries) and what this processor has. It refuses to know models.
"""

import ctypes
import functools
import importlib
import importlib.util
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slipway_generator import machine
from slipway_generator.model import StartRefused

NOTE = "slipway-build.json"
_LEVEL_ERROR = 4


@dataclass(frozen=True, slots=True)
class Library:
    """The imported module, and what must be known to use it. `api` is llama_cpp.llama_cpp: functions of llama.h under their own names."""

    api: Any
    complaints: list[str]
    repack: bool
    build: str


def load_library(waiting_policy: dict[str, str]) -> Library:
    """Import llama_cpp; StartRefused when it is missing or was built for another processor."""
    spec = importlib.util.find_spec("llama_cpp")
    if spec is None or not spec.submodule_search_locations:
        raise StartRefused("llama.cpp is not installed; install slipway-generator[llamacpp], or set SLIPWAY_GENERATOR_ENGINE=onnx.")
    folder = Path(os.environ.get("LLAMA_CPP_LIB_PATH") or Path(spec.submodule_search_locations[0]) / "lib")
    note = read_note(folder / NOTE)
    flags = machine.cpu_flags()
    check_processor(note, flags)
    os.environ.update(waiting_policy)
    try:
        api = importlib.import_module("llama_cpp.llama_cpp")
    except (ImportError, OSError, RuntimeError) as error:
        raise StartRefused(f"llama.cpp's library does not load on this machine ({machine.describe()}): {error}.") from error
    complaints, _ = _listen(api)
    return Library(api, complaints, may_repack(note, flags), "built by slipway for this processor" if note else "not built by slipway")


def read_note(path: Path) -> dict[str, Any] | None:
    """What the wheel was built with; None when it was not built by us."""
    try:
        note = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return note if isinstance(note, dict) else None


def check_processor(note: dict[str, Any] | None, flags: frozenset[str] | None) -> None:
    """StartRefused when the library uses instructions that this processor does not have: it would die without a word."""
    if note is None or flags is None:
        return
    missing = sorted(set(map(str, note.get("flags", ()))) - flags)
    if missing:
        raise StartRefused(
            f"this llama.cpp was built for a processor with {', '.join(missing)}, which this one does not have; "
            "build it here (`make setup`), or set SLIPWAY_GENERATOR_ENGINE=onnx."
        )


def may_repack(note: dict[str, Any] | None, flags: frozenset[str] | None) -> bool:
    """Whether weights may be laid out anew at load for the processor's own kernels. A build of ours says so (`deploy/llamacpp_check.py` has tried it). One of
    unknown flags may hold AMX kernels that crash on quantized weights (ggml-org/llama.cpp#20824); they are reached in no other way."""
    if note is not None:
        return bool(note.get("repack", not any("amx" in str(flag).lower() for flag in note.get("flags", ()))))
    return flags is None or "amx_tile" not in flags


@functools.cache
def _listen(api: Any) -> tuple[list[str], Any]:
    """Start the library, keeping its error lines for our own messages instead of letting it write to stderr. Once a process: C holds the callback for good."""
    complaints: list[str] = []

    @api.llama_log_callback
    def note(level: int, text: bytes | None, _data: ctypes.c_void_p) -> None:
        if level == _LEVEL_ERROR and text and (line := text.decode(errors="replace").strip()):
            complaints.append(line[:300])
            del complaints[:-8]

    api.llama_log_set(note, ctypes.c_void_p(0))
    api.llama_backend_init()
    return complaints, note
