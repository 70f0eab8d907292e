"""Imports without what a library would bring along unasked. It knows module names only."""

import contextlib
import sys
from collections.abc import Generator


@contextlib.contextmanager
def without(name: str) -> Generator[None]:
    """A block in which module `name` cannot be imported, unless it has been already: for libraries that try whether an optional part is there, and take a
    tenth of a second and megabytes for it where it is."""
    if name in sys.modules:
        yield
        return
    sys.modules[name] = None  # type: ignore[assignment]  # what the import system reads as "not there"
    try:
        yield
    finally:
        del sys.modules[name]
