"""Libraries' many ways to say that a model folder is damaged, as one sentence. It knows error types. It refuses to know models."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from slipway_training.errors import ConfigError


@contextmanager
def readable(folder: Path) -> Generator[None]:
    """Within it a model or tokenizer of `folder` is read; raises ConfigError naming the folder when a library cannot."""
    try:
        yield
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        first = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise ConfigError(f"{folder} cannot be read as a model: {first}") from error
