"""The `data` verbs: prepare, audit, synth, losses, weights, speed.

It knows options, tables and exit codes. It refuses to know how anything is done: it calls one function per verb.
"""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from slipway_training.told import told

app = typer.Typer(no_args_is_help=True, help="From raw text to packed rows of tokens, with the provenance of every source.")

Overrides = Annotated[list[str] | None, typer.Argument(help="key=value pairs laid over the file, such as context=1024 tokens=2000000")]


@app.command()
def prepare(
    mixture: Annotated[Path, typer.Argument(help="a mixture YAML: sources with licence and weight, cleaning, copies, evaluations, stages")],
    tokenizer: Annotated[Path, typer.Option(help="tokenizer.json, or the folder of a frozen tokenizer")],
    to: Annotated[Path, typer.Option(help="the folder for rows, index and counts; `work` below it holds the steps in between")],
    overrides: Overrides = None,
    workers: Annotated[int, typer.Option(min=1, help="processes that clean text")] = 1,
) -> None:
    """Read, clean, drop copies and evaluation text, tokenize, blend by weight, and pack into rows. Started again, it goes on where it stopped."""
    console = Console()
    with told(console):
        from slipway_training.config import load_typed
        from slipway_training.data.mixture import MixtureConfig
        from slipway_training.data.prepare import prepare as run

        made = run(load_typed(MixtureConfig, mixture, overrides or []), tokenizer, to, console, workers)
        table = Table("source", "licence", "rows", "tokens", "repeats", "short of its weight", title=f"{to}", title_justify="left")
        for p in made.packed.provenance:
            share = made.shares[p.source]
            short = f"{1 - share.taken / share.wanted:.0%}" if share.taken < share.wanted else "-"
            table.add_row(p.source, p.origin.licence, f"{p.rows:,}", f"{p.tokens:,}", f"{share.repeats:.2f}", short)
        console.print(table)
        tokens = len(made.packed) * made.packed.context
        steps = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in made.seconds.items())
        total = sum(made.seconds.values())
        console.print(
            f"{len(made.packed):,} rows, {tokens:,} tokens, {tokens / total:,.0f} tokens/s from raw text ({steps})", highlight=False
        )
        console.print(f"digest {made.packed.digest}", highlight=False)
