"""The parser process as the service sees it: one file at a time, a deadline, and a new process when the old one is stuck or dead.

A parser is other people's code reading strangers' files; in a process of its own it can be stopped, and can take nothing down with it.
"""

import os
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import BinaryIO, cast

from slipway_retriever.parse import frames
from slipway_retriever.parse.document import Bounds, Document, Kind, ParseError, Section

FILES_PER_PROCESS = 500
"""Then a fresh one: whatever a library leaks is given back."""


class ParserProcess:
    """Started at the first file. Used by one thread."""

    def __init__(self, bounds: Bounds, *, seconds: float, memory_bytes: int) -> None:
        self._bounds = bounds
        self._seconds = seconds
        self._memory_bytes = memory_bytes
        self._process: subprocess.Popen[bytes] | None = None
        self._served = 0

    @property
    def pid(self) -> int | None:
        """Of the running process, for tests and logs."""
        return None if self._process is None else self._process.pid

    def parse(self, filename: str, path: Path) -> Document:
        """The document at `path`; raises ParseError with the reason, also for a parser that hung or died."""
        process = self._running()
        assert process.stdin is not None and process.stdout is not None
        request: dict[str, frames.Value] = {
            "filename": filename,
            "path": str(path.resolve()),
            "max_chars": self._bounds.max_chars,
            "max_pages": self._bounds.max_pages,
        }
        try:
            frames.write(cast(BinaryIO, process.stdin), request)
            answer = frames.read(cast(BinaryIO, _Deadline(process.stdout.fileno(), self._seconds)))
        except TimeoutError:
            self.close()
            raise ParseError("unsupported_file", f"Reading the file took longer than {self._seconds:g} seconds.") from None
        except (frames.Closed, BrokenPipeError):
            self.close()
            raise ParseError("invalid_file", "The file's reader ended on it: the file is damaged, or needs too much memory.") from None
        self._served += 1
        return _document(answer)

    def abort(self) -> None:
        """From another thread: end the process, so that a running `parse` raises at once."""
        process = self._process
        if process is not None:
            process.kill()

    def close(self) -> None:
        """Stop the process, at once."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    _close(pipe)

    def _running(self) -> "subprocess.Popen[bytes]":
        if self._process is not None and (self._process.poll() is not None or self._served >= FILES_PER_PROCESS):
            self.close()
        if self._process is None:
            self._served = 0
            self._process = subprocess.Popen(
                [sys.executable, "-m", "slipway_retriever.parse.child", str(self._memory_bytes)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
                bufsize=0,
            )
        return self._process


class _Deadline:
    """A stream whose reads all together end in time."""

    def __init__(self, descriptor: int, seconds: float) -> None:
        self._descriptor = descriptor
        self._until = time.monotonic() + seconds

    def read(self, count: int) -> bytes:
        left = self._until - time.monotonic()
        if left <= 0 or not select.select([self._descriptor], [], [], left)[0]:
            raise TimeoutError
        return os.read(self._descriptor, count)


def _document(answer: dict[str, frames.Value]) -> Document:
    if "code" in answer:
        code = "invalid_file" if answer["code"] == "invalid_file" else "unsupported_file"
        raise ParseError(code, str(answer["message"]))
    rows = cast(list[tuple[str, int, int, Kind]], answer["sections"])
    return Document(str(answer["text"]), tuple(Section(*row) for row in rows))


def _close(pipe: object) -> None:
    try:
        cast(BinaryIO, pipe).close()
    except BrokenPipeError:
        return
