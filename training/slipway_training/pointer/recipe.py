"""The pointer recipe from configuration to flavors: train, export, and a report of what was done.

It knows the order of work and where each step leaves its files. It refuses to know the steps themselves.
"""

from pathlib import Path

from rich.console import Console

from slipway_training.errors import CheckpointError
from slipway_training.pointer.config import PointerConfig
from slipway_training.pointer.encode import MAX_QUESTION_TOKENS
from slipway_training.pointer.export import export_pointer
from slipway_training.pointer.train import newest, train_pointer
from slipway_training.pointer.vocabulary import wordpiece

FLAVORS = ("int8",)
STRIDE = 64
"""Word pieces that neighbouring windows of a long passage share."""


def run_pointer(config: PointerConfig, console: Console) -> bool:
    """Train (or go on) and export; False when a signal stopped the run, which the same call continues. Raises TrainingError."""
    trained = train_pointer(config, lambda line: console.print(line, highlight=False))
    if trained.done:
        export_run(Path(config.run.out), Path(config.run.out) / "flavors", FLAVORS, console)
    return trained.done


def export_run(run: Path, to: Path, flavors: tuple[str, ...], console: Console) -> list[Path]:
    """The flavors of a run's newest checkpoint, with the averaged weights where there is an average; raises CheckpointError and ExportError."""
    recipe = run / "config.json"
    if not recipe.is_file() or not (run / "vocab.txt").is_file():
        raise CheckpointError(f"{run} holds no run of the pointer recipe (no config.json and vocab.txt)")
    config = PointerConfig.model_validate_json(recipe.read_text(encoding="utf-8"))
    model = newest(run, config)
    vocabulary = (run / "vocab.txt").read_text(encoding="utf-8").splitlines()
    decision: dict[str, float | int] = {
        "threshold": config.model.threshold, "max_tokens": config.model.max_tokens, "question_tokens": MAX_QUESTION_TOKENS,
        "stride": min(STRIDE, (config.model.max_tokens - MAX_QUESTION_TOKENS - 3) // 2),
    }  # fmt: skip
    made = export_pointer(model, wordpiece(vocabulary), to, config.name, flavors, decision)
    for folder in made:
        console.print(f"{folder}: {sum(p.stat().st_size for p in folder.iterdir()):,} bytes")
    return made
