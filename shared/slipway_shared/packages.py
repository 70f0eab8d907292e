"""Where an installed package's files lie, for packages that carry data. None of their code runs: MiniLM's own import would ask for sentence-transformers."""

import importlib.util
from pathlib import Path


def folder_of(name: str) -> Path | None:
    """The folder of package `name`; None where it is not installed."""
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations)))
