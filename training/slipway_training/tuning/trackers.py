"""Who watches a run: Weights & Biases (off by default; offline writes a folder, nothing is sent), TensorBoard.

It knows numbers by name. It refuses to send rows or texts anywhere.
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from slipway_training.errors import StackMissing
from slipway_training.tuning.config import TuningConfig


@contextmanager
def trackers(config: TuningConfig, folder: Path) -> Generator[list[TrainerCallback]]:
    """One callback that tells all whom the configuration names, or none; closed at the end. Raises StackMissing."""
    writes: list[Callable[[int, dict[str, int | float]], object]] = []
    closing: list[Any] = []
    try:
        if config.run.wandb != "off":
            run = _wandb(config, folder)
            closing.append(run.finish)
            writes.append(lambda step, numbers: run.log(numbers, step=step))
        if config.run.tensorboard:
            writer = _tensorboard(folder)
            closing.append(writer.close)
            writes.append(lambda step, numbers: [writer.add_scalar(name, value, step) for name, value in numbers.items()])
        yield [_Numbers(writes)] if writes else []
    finally:
        for close in closing:
            close()


class _Numbers(TrainerCallback):
    def __init__(self, writes: list[Callable[[int, dict[str, int | float]], object]]) -> None:
        self._writes = writes

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        if numbers := {name: value for name, value in (logs or {}).items() if isinstance(value, int | float)}:
            for write in self._writes:
                write(state.global_step, numbers)


def _wandb(config: TuningConfig, folder: Path) -> Any:
    try:
        import wandb
    except ImportError as error:
        raise StackMissing("wandb", "tune") from error
    kept = config.model_dump(mode="json", exclude={"data": {"file"}, "run": {"out"}})
    settings = wandb.Settings(silent=True, console="off", disable_git=True, x_disable_stats=True, x_disable_meta=True)
    mode: Any = config.run.wandb
    return wandb.init(project="slipway-training", name=config.name, mode=mode, dir=str(folder), config=kept, settings=settings)


def _tensorboard(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise StackMissing("tensorboard", "tune") from error
    return SummaryWriter(str(folder / "tensorboard"))
