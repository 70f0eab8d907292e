"""Self-made English prose for the data tests: grammatical enough for the quality rules, different at every seed."""

from collections.abc import Callable

import pytest
from slipway_training.data.invented import prose


@pytest.fixture(scope="session")
def write_prose() -> Callable[..., str]:
    return prose
