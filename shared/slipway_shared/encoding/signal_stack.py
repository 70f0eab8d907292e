"""The alternate signal stack of a thread, kept as it was around calls that replace it.

OpenVINO 2026.4 gives the thread that compiles for AMX an alternate signal stack and leaves it there after its memory is gone: the next signal that this thread
takes (SIGTERM, in a main thread) ends the process with SIGSEGV. It knows Linux's sigaltstack(2), and refuses to know who calls.
"""

import ctypes
import sys
from collections.abc import Generator
from contextlib import contextmanager


class _Stack(ctypes.Structure):
    """`stack_t`."""

    _fields_ = (("sp", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


_DISABLED = 2


def _loaded() -> ctypes.CDLL | None:
    return ctypes.CDLL(None) if sys.platform == "linux" else None


_libc = _loaded()


@contextmanager
def kept() -> Generator[None]:
    """After the block the calling thread has the alternate signal stack that it had before, or none. Costs some microseconds."""
    if _libc is None:
        yield
        return
    before = _Stack()
    known = _libc.sigaltstack(None, ctypes.byref(before)) == 0
    try:
        yield
    finally:
        if not known or _libc.sigaltstack(ctypes.byref(before), None) != 0:
            _libc.sigaltstack(ctypes.byref(_Stack(None, _DISABLED, 0)), None)


def size() -> int:
    """Bytes of the calling thread's alternate signal stack; 0 where it has none."""
    now = _Stack()
    if _libc is None or _libc.sigaltstack(None, ctypes.byref(now)) != 0 or now.flags & _DISABLED:
        return 0
    return int(now.size)
