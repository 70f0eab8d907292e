"""Keeps llama.cpp's loading chatter off stderr.

It knows the log callback only; failures still come back as return codes and exceptions.
"""

import ctypes
from functools import cache
from typing import TYPE_CHECKING

from slipway_training.errors import StackMissing

if TYPE_CHECKING:
    from llama_cpp._ctypes_extensions import CtypesFuncPointer


def silence_llama_cpp() -> None:
    """Drop every line that llama.cpp logs in this process from now on; raises StackMissing."""
    try:
        import llama_cpp
    except ImportError as error:
        raise StackMissing("llama-cpp-python") from error
    llama_cpp.llama_log_set(_callback(), ctypes.c_void_p(0))


@cache
def _callback() -> "CtypesFuncPointer":
    """One callback for the life of the process: the library keeps the pointer, ctypes keeps no reference."""
    import llama_cpp

    return llama_cpp.llama_log_callback(_ignore)


def _ignore(_level: int, _text: bytes, _data: object) -> None:
    return None
