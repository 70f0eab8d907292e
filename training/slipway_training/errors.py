"""The error tree of the training room.

    TrainingError
    ├── ConfigError        a recipe that cannot be run as written
    ├── DataMissing        a folder or setting that a source needs is not there
    ├── StackMissing       the heavy stack (torch, gguf, onnxruntime-genai) is not installed
    ├── Diverged           a loss or gradient is no number
    ├── CheckpointError    no checkpoint can be read, or it belongs to another run
    └── ExportError        a flavor was not written, or did not load back

It knows the names only; the command line turns each into one sentence and an exit code.
"""

EXTRA = "torch"


class TrainingError(Exception):
    """Base of everything that a user can be told in one sentence."""


class ConfigError(TrainingError):
    """The recipe names something that does not exist, or a value out of range."""


class DataMissing(TrainingError):
    """The data folder is not set, or holds no such source."""


class StackMissing(TrainingError):
    """A library of the extra is not installed."""

    def __init__(self, library: str, extra: str = EXTRA) -> None:
        super().__init__(f"{library} is not installed; `uv pip install 'slipway-training[{extra}]'` brings what is needed")


class Diverged(TrainingError):
    """A loss or gradient is no number; a lower rate may help."""


class CheckpointError(TrainingError):
    """A checkpoint is damaged or of another run."""


class ExportError(TrainingError):
    """A flavor could not be written or did not load back."""
