"""One sentence and exit code 2 for our own errors and for files that cannot be read or written, for every command of the room.

It knows the error tree and the console. It refuses to know commands.
"""

from typing import NoReturn

import typer
from rich.console import Console
from rich.text import Text
from slipway_shared.manifest import ManifestError

from slipway_training.errors import TrainingError


class told:  # noqa: N801 - reads as a verb
    """A context manager that turns our own errors, and the file system's, into one sentence and exit code 2; every other one passes."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, TrainingError | ManifestError):
            self._say(str(error), error)
        if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):
            self._say(f"{error.filename}: {error.strerror}" if error.filename else str(error), error)

    def _say(self, sentence: str, error: BaseException) -> NoReturn:
        self._console.print("[red]error:[/]", Text(sentence), soft_wrap=True, highlight=False)
        raise typer.Exit(2) from error
