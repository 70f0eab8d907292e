"""One sentence and exit code 2 for our own errors, for every command of the room.

It knows the error tree and the console. It refuses to know commands.
"""

import typer
from rich.console import Console
from slipway_shared.manifest import ManifestError

from slipway_training.errors import TrainingError


class told:  # noqa: N801 - reads as a verb
    """A context manager that turns our own errors into one sentence and exit code 2; every other one passes."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, TrainingError | ManifestError):
            self._console.print(f"[red]error:[/] {error}", highlight=False)
            raise typer.Exit(2) from error
