"""`python -m slipway_training ablate pointer`: options only; the work is in `ablate`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from slipway_training.outputs import writable
from slipway_training.told import told

ablate_app = typer.Typer(no_args_is_help=True, help="Short legs of a recipe that differ in one thing, compared on the same questions.")


@ablate_app.callback()
def _group() -> None:
    """Short legs of a recipe that differ in one thing, compared on the same questions."""


@ablate_app.command("pointer")
def ablate_pointer(
    legs: Annotated[Path | None, typer.Option(help="a YAML of legs; default: ablations.yaml of the recipe")] = None,
    out: Annotated[Path, typer.Option(help="where legs are kept; a finished one is not trained again")] = Path("runs/pointer-ablations"),
    minutes: Annotated[float, typer.Option(help="no leg is begun that would end after this; 0: all legs")] = 0.0,
    report_to: Annotated[Path | None, typer.Option("--report", help="folder for ablations.md and ablations.json; default: --out")] = None,
    tiny: Annotated[bool, typer.Option("--tiny", help="two legs on self-made text in under a minute, no data needed")] = False,
) -> None:
    """Train every leg at the same small budget and print its F1, and its paired difference to the full recipe with a 95 % bootstrap interval."""
    console = Console()
    with told(console):
        from slipway_training.pointer.ablate import LEGS, load_plan, report, run_ablations, sets_of, write_report

        writable(out, "--out")
        plan = load_plan(legs or LEGS)
        if tiny:
            plan = plan.model_copy(update={"items": 20, "legs": {n: plan.legs[n] for n in list(plan.legs)[:2]}})
        done = run_ablations(plan, out, minutes, console, tiny=tiny)
        table, plain = report(plan, done, sets_of(plan, tiny=tiny))
        write_report(report_to or out, table, plain)
        console.print(table, highlight=False, soft_wrap=True)
