"""Which engine computes an encoder on this machine, and why.

It knows the processor's features and what is installed. It refuses to know graphs and the engines themselves (session.py).
"""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

EngineName = Literal["auto", "onnxruntime", "openvino"]
AMX = frozenset({"amx_bf16", "amx_tile"})
"""The kernel lists them only where it also saves the tiles, so they can be used where they are listed."""


class EngineMissing(Exception):
    """The engine that the settings ask for cannot be used; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Choice:
    """`bf16`: products are computed in bfloat16. `reason` is for the log."""

    engine: Literal["onnxruntime", "openvino"]
    bf16: bool
    reason: str


def choose(asked: EngineName, flags: frozenset[str] | None = None, installed: bool | None = None) -> Choice:
    """OpenVINO in bf16 where the processor multiplies tiles of it (AMX), else ONNX Runtime; raises EngineMissing. The two last are for tests.

    Measured on such a processor (docs/decisions): bf16 on AMX takes 0.5 to 0.75 of the time of int8 on VNNI, and rounds less. Without AMX OpenVINO's
    floating point takes twice ONNX Runtime's int8.
    """
    flags = cpu_flags() if flags is None else flags
    there = importlib.util.find_spec("openvino") is not None if installed is None else installed
    amx = flags >= AMX
    if asked == "openvino" and not there:
        raise EngineMissing("the engine openvino is not installed here: pip install openvino, or set the engine to auto")
    if asked == "openvino":
        return Choice("openvino", amx, "as set")
    if asked == "onnxruntime":
        return Choice("onnxruntime", False, "as set")
    if not amx:
        return Choice("onnxruntime", False, "this processor has no AMX for bf16, so int8 is fastest")
    if not there:
        return Choice("onnxruntime", False, "this processor has AMX for bf16, but openvino, which would use it, is not installed")
    return Choice("openvino", True, "this processor has AMX for bf16")


def told_to(log: Callable[..., Any], work: str) -> Callable[[Choice], None]:
    """What writes a choice into a service's log."""
    return lambda choice: log(
        f"{work} engine", engine=choice.engine, precision="bf16" if choice.bf16 else "as stored", reason=choice.reason
    )


def cpu_flags(cpuinfo: Path = Path("/proc/cpuinfo")) -> frozenset[str]:
    """The first processor's features as the kernel names them; empty where the system does not say."""
    if not cpuinfo.is_file():
        return frozenset()
    for line in cpuinfo.read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("flags", "Features"):
            return frozenset(value.split())
    return frozenset()
