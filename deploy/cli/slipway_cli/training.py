"""`slipway train ...`: hands its words to the training package, which may not be installed where only serving is.

It knows how the package is started. It refuses to know recipes.
"""

import subprocess
import sys
from importlib.util import find_spec

from slipway_cli.launch import StartError

PACKAGE = "slipway_training"


def run(words: list[str]) -> int:
    """`python -m slipway_training train WORDS` on this terminal; its exit code (75: stopped, start it again). Raises StartError."""
    if find_spec(PACKAGE) is None:
        raise StartError("Training is not installed here; `make setup-dev` brings it (torch and its libraries, about 3 GB).")
    command = [sys.executable, "-m", PACKAGE, "train", *(words or ["--help"])]
    return subprocess.run(command, check=False).returncode
