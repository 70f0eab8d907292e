"""The embedded models' files that the repository does not hold whole: `python -m slipway_cli.weights` puts them together, `make setup` and `slipway up` call it.

It knows where they lie. It refuses to know how a file is put together (slipway_shared.encoding.borrowed), and what is in it.
"""

import sys
from pathlib import Path

from slipway_cli.models import ModelError
from slipway_cli.places import project_root

BORROWED = "borrowed"


def restore(models: Path) -> list[str]:
    """Put together what is missing below `models`; the names of the files that were written. Raises ModelError."""
    borrowings = sorted((models / BORROWED).glob("*.safetensors"))
    if not borrowings:
        return []
    from slipway_shared.encoding import borrowed  # numpy: only `up` and `setup` need it, not every verb

    try:
        return [borrowed.read_recipe(path).file for path in borrowings if borrowed.restore(path, models)]
    except (borrowed.BorrowError, OSError) as error:
        raise ModelError(f"an embedded model cannot be put together: {error}") from error


def main() -> int:
    """0 when every file is there."""
    try:
        written = restore(project_root() / "models")
    except ModelError as error:
        sys.stderr.write(f"slipway: {error}\n")
        return 1
    for name in written:
        sys.stdout.write(f"slipway: put together models/{name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
