"""`python -m slipway_training plan | lr-range | coord-check | slurm | hf`: what is asked before and after a pretraining run.

It knows options and tables. It refuses to know how anything is done.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import typer
from rich.console import Console

from slipway_training.errors import ConfigError
from slipway_training.outputs import writable
from slipway_training.told import told

NumberT = TypeVar("NumberT", int, float)
app = typer.Typer(no_args_is_help=True)
Overrides = Annotated[list[str] | None, typer.Argument(help="key=value pairs laid over the pretrain recipe")]
Config = Annotated[Path | None, typer.Option(help="another config.yaml than the pretrain recipe's")]
Tiny = Annotated[bool, typer.Option("--tiny", help="the tiny form on self-made text")]
Out = Annotated[Path, typer.Option(help="folder for the figures (JSON) and the plot (SVG)")]


@app.command("plan")
def plan_budget(
    flops: Annotated[float, typer.Option(help="training FLOPs, such as 1e19")] = 0.0,
    hours: Annotated[float, typer.Option(help="instead: hours on `--devices` of `--peak` FLOP/s at `--mfu`")] = 0.0,
    devices: Annotated[int, typer.Option(help="how many")] = 1,
    peak: Annotated[float, typer.Option(help="FLOP/s of one (0: measured here)")] = 0.0,
    mfu: Annotated[float, typer.Option(help="share of the peak that training reaches")] = 0.4,
    price: Annotated[float, typer.Option(help="price of one device for an hour")] = 0.0,
    out: Out = Path("runs/plan"),
) -> None:
    """How large a model, and how many tokens, for a budget: the scaling law's table and plot."""
    from slipway_training.pretrain.studies import budget

    console = Console()
    with told(console):
        writable(out, "--out")
        budget(console, flops, hours, devices, peak, mfu, price, out)


@app.command("lr-range")
def lr_range(
    overrides: Overrides = None,
    config: Config = None,
    tiny: Tiny = False,
    low: Annotated[float, typer.Option(help="first rate")] = 1e-5,
    high: Annotated[float, typer.Option(help="last rate")] = 1.0,
    steps: Annotated[int, typer.Option(min=10, help="how many, the rate growing by the same factor each")] = 60,
    out: Out = Path("runs/lr-range"),
) -> None:
    """Raise the learning rate every step until the loss breaks out (Smith 2015), and name a rate below that."""
    from slipway_training.pretrain.studies import learning_rate_range

    console = Console()
    with told(console):
        writable(out, "--out")
        learning_rate_range(console, _load(config, overrides, tiny=tiny), low, high, steps, out)


@app.command("coord-check")
def coord_check(
    widths: Annotated[str, typer.Option(help="by comma")] = "64,128,256,512",
    steps: Annotated[int, typer.Option(min=1)] = 4,
    seeds: Annotated[int, typer.Option(min=1)] = 2,
    rate: Annotated[float, typer.Option(help="learning rate at the first width")] = 1e-2,
    optimizer: Annotated[Literal["adamw", "muon"], typer.Option(help="muon: of the hidden matrices, embeddings stay with AdamW")] = "adamw",
    out: Out = Path("runs/coord-check"),
) -> None:
    """Sizes of activations over width and step, with muP and without: flat lines mean that a rate found on a narrow model fits a wide one."""
    from slipway_training.pretrain.studies import coordinate_check

    console = Console()
    with told(console):
        writable(out, "--out")
        coordinate_check(console, _numbers(widths, int, "--widths"), steps, seeds, rate, out, optimizer)


@app.command("mup-transfer")
def mup_transfer(
    overrides: Overrides = None,
    config: Config = None,
    tiny: Tiny = False,
    widths: Annotated[str, typer.Option(help="by comma; muP's base width is the first")] = "64,128,256",
    rates: Annotated[str, typer.Option(help="learning rates, by comma")] = "5e-4,1e-3,2e-3,4e-3,8e-3,1.6e-2",
    seeds: Annotated[int, typer.Option(min=1, help="runs of each width and rate")] = 1,
    forms: Annotated[str, typer.Option(help="standard, mup, or both")] = "standard,mup",
    out: Out = Path("runs/mup-transfer"),
) -> None:
    """Short runs of several widths at several rates: whether the rate that is best on a narrow model is best on a wide one (Yang et al. 2022)."""
    from slipway_training.pretrain.studies import transfer_check

    console = Console()
    with told(console):
        typed = _load(config, overrides, tiny=tiny)
        writable(out, "--out")
        transfer_check(console, typed, _numbers(widths, int, "--widths"), _numbers(rates, float, "--rates"), seeds, forms.split(","), out)


@app.command("slurm")
def slurm(
    overrides: Overrides = None,
    nodes: Annotated[int, typer.Option(min=1)] = 1,
    gpus: Annotated[int, typer.Option(min=1, help="of each node")] = 8,
    hours: Annotated[int, typer.Option(min=1, help="time limit of one job; the array goes on where it was stopped")] = 12,
    legs: Annotated[int, typer.Option(min=1, help="jobs of the array, one after the other")] = 4,
    partition: Annotated[str, typer.Option(help="SLURM partition; empty: the cluster's default")] = "",
    to: Annotated[Path | None, typer.Option(help="file; default: the terminal")] = None,
) -> None:
    """Write an sbatch script: torchrun on every node, an array of legs that run one after the other, SIGTERM before the limit."""
    from slipway_training.pretrain.slurm import script

    with told(Console()):
        _load(None, overrides, tiny=False)  # what is wrong in the words is said here, not after hours in a queue
        text = script(overrides or [], nodes, gpus, hours, legs, partition)
        if to is None:
            typer.echo(text, nl=False)
        else:
            to.write_text(text, encoding="utf-8")


@app.command("hf")
def to_hf(
    run: Annotated[Path, typer.Argument(help="the folder of a pretraining run")],
    to: Annotated[Path | None, typer.Option(help="default: RUN/hf")] = None,
) -> None:
    """Write the newest checkpoint of a run, finished or not, as a Hugging Face folder."""
    from slipway_training.pretrain.hf import write_hf

    console = Console()
    with told(console):
        console.print(f"wrote {write_hf(run, to or run / 'hf')}")


def _numbers(text: str, kind: Callable[[str], NumberT], option: str) -> list[NumberT]:
    """Positive numbers by comma; raises ConfigError naming the option."""
    try:
        found = [kind(part) for part in text.split(",")]
    except ValueError as error:
        raise ConfigError(f"{option} wants numbers by comma, not {text!r}") from error
    if not all(number > 0 for number in found):
        raise ConfigError(f"{option} wants positive numbers, not {text!r}")
    return found


def _load(config: Path | None, overrides: list[str] | None, *, tiny: bool) -> "object":
    from slipway_training.recipes import recipe

    return recipe("pretrain").load(config, overrides or [], tiny=tiny)
