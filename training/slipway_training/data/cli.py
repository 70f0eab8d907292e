"""The `data` verbs: prepare, audit, synth, losses, weights, speed.

It knows options, tables and exit codes. It refuses to know how anything is done: it calls one function per verb.
"""

import os
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
    workers: Annotated[int, typer.Option(min=0, help="processes that clean text; 0: as many as there are cores")] = 0,
) -> None:
    """Read, clean, drop copies and evaluation text, tokenize, blend by weight, and pack into rows. Started again, it goes on where it stopped."""
    console = Console()
    with told(console):
        from slipway_training.config import load_typed
        from slipway_training.data.mixture import MixtureConfig
        from slipway_training.data.prepare import prepare as run
        from slipway_training.data.progress import Stopped
        from slipway_training.outputs import claimed
        from slipway_training.signals import stop_on_signal

        typed = load_typed(MixtureConfig, mixture, overrides or [])
        with stop_on_signal() as stopped:
            try:
                with claimed(to, "--to"):
                    made = run(typed, tokenizer, to, console, workers or os.cpu_count() or 1, stopped)
            except Stopped as stop:
                console.print("stopped; the same command goes on from here")
                raise typer.Exit(75) from stop  # EX_TEMPFAIL: try again
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
            f"{len(made.packed):,} rows, {tokens:,} tokens, {tokens / total:,.0f} tokens/s in this run ({steps}; finished steps are not done again)",
            highlight=False,
        )
        console.print(f"digest {made.packed.digest}", highlight=False)


@app.command()
def audit(
    folder: Annotated[Path, typer.Argument(help="a folder that `data prepare` wrote")],
    tokenizer: Annotated[Path, typer.Option(help="the tokenizer of its rows")],
    to: Annotated[Path | None, typer.Option(help="where audit.md, .html, .json and .svg go; default: the folder itself")] = None,
    rare_below: Annotated[int, typer.Option(min=1, help="a token that occurs less often in all rows is rare")] = 100,
) -> None:
    """Sizes, licences, what each step dropped, copies, evaluation text, rare tokens and terms for groups of people by domain."""
    console = Console()
    with told(console):
        from slipway_training.data.audit import audit as run
        from slipway_training.data.packed import open_packed
        from slipway_training.data.pages import write_pages
        from slipway_training.data.progress import Bars

        with Bars(console) as bars, bars.step("audit", len(open_packed(folder)), "rows") as advance:
            found = run(folder, tokenizer, advance, rare_below)
        table = Table("domain", "tokens", "rare token rate", "vocabulary used", title=f"{folder}", title_justify="left")
        for name, d in sorted(found.domains.items()):
            used = d.vocabulary_used / found.packed.vocab_size
            table.add_row(name, f"{d.tokens:,}", f"{d.rare / max(1, d.tokens):.3%}", f"{used:.1%}")
        console.print(table)
        for path in write_pages(found, to or folder):
            console.print(f"wrote {path}", highlight=False)


@app.command()
def losses(
    folder: Annotated[Path, typer.Argument(help="packed rows")],
    model: Annotated[Path, typer.Option(help="a Hugging Face folder, such as hf/ of a run")],
    to: Annotated[Path, typer.Option(help="a Parquet file, one loss a row")],
    batch_rows: Annotated[int, typer.Option(min=1)] = 8,
) -> None:
    """The loss of a model on every row, for `data weights`."""
    console = Console()
    with told(console):
        from slipway_training.data.losses import row_losses
        from slipway_training.data.packed import open_packed
        from slipway_training.data.progress import Bars
        from slipway_training.data.sampling import write_numbers

        packed = open_packed(folder)
        with Bars(console) as bars, bars.step("losses", len(packed), "rows") as advance:
            found = row_losses(packed, model, batch_rows, advance)
        write_numbers(to, "loss", found, packed, model=model.resolve().parent.name)
        console.print(f"{len(found):,} rows, mean loss {found.mean():.4f} nats; wrote {to}", highlight=False)


@app.command()
def weights(
    folder: Annotated[Path, typer.Argument(help="packed rows")],
    losses: Annotated[Path, typer.Option(help="the file of `data losses` for these rows")],
    to: Annotated[Path, typer.Option(help="a Parquet file, one weight a row: what a run samples by")],
    strength: Annotated[float, typer.Option(help="0 is uniform")] = 0.5,
    lowest: Annotated[float, typer.Option(help="no row is seen less often than this")] = 0.25,
    highest: Annotated[float, typer.Option(help="no row is seen more often than this")] = 2.0,
    noise: Annotated[float, typer.Option(help="share of each source's hardest rows that is taken for noise")] = 0.01,
) -> None:
    """Sampling weights from losses: bounded, mean one within each source, so that the mixture keeps its shares."""
    console = Console()
    with told(console):
        from pydantic import ValidationError

        from slipway_training.config import said
        from slipway_training.data.packed import open_packed
        from slipway_training.data.sampling import Weighing, read_numbers, weigh, write_numbers
        from slipway_training.errors import ConfigError

        packed = open_packed(folder)
        try:
            how = Weighing(strength=strength, lowest=lowest, highest=highest, noise=noise)
        except ValidationError as error:
            raise ConfigError(said(Weighing, error)) from error
        found = weigh(read_numbers(losses, "loss", packed), packed.row_sources(), how)
        write_numbers(to, "weight", found, packed, weighing=how.model_dump_json())
        low, middle, high = (float(q) for q in (found.min(), sorted(found)[len(found) // 2], found.max()))
        console.print(f"{len(found):,} rows: weights {low:.3f} to {high:.3f}, median {middle:.3f}; wrote {to}", highlight=False)


@app.command()
def speed(
    folder: Annotated[Path, typer.Argument(help="packed rows")],
    batch_rows: Annotated[int, typer.Option(min=1, help="random rows of a batch")] = 16,
    seconds: Annotated[float, typer.Option(min=0.1, help="measured time of each reader")] = 5.0,
    consumed: Annotated[float, typer.Option(help="tokens/s that a model trains on; 8,000 is a 3M model on two CPU cores")] = 8000.0,
) -> None:
    """Rows and tokens per second of the input pipeline, beside Hugging Face datasets on the same rows in the same run."""
    console = Console()
    with told(console):
        from slipway_training.data.packed import open_packed
        from slipway_training.data.speed import measure

        packed = open_packed(folder)
        table = Table("reader", "rows/s", "tokens/s", f"times {consumed:,.0f} tokens/s", title_justify="left")
        for s in measure(packed, batch_rows, seconds):
            table.add_row(s.reader, f"{s.rows_per_second:,.0f}", f"{s.tokens_per_second:,.0f}", f"{s.tokens_per_second / consumed:,.0f}x")
        console.print(table)


@app.command()
def synth(
    config: Annotated[Path, typer.Argument(help="a generator YAML: prompts, teacher, filters, safety, bounds")],
    overrides: Overrides = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="count prompts, calls and tokens, ask nobody")] = False,
) -> None:
    """Ask a teacher behind any OpenAI-compatible URL; keep what passes every filter; record teacher, licence and filters beside the rows."""
    console = Console()
    with told(console):
        from slipway_training.config import load_typed
        from slipway_training.data.synth.config import SynthConfig
        from slipway_training.data.synth.generate import generate, plan

        typed = load_typed(SynthConfig, config, overrides or [])
        if dry_run:
            table = Table("what", "value", title=f"{typed.name}: dry run", title_justify="left")
            for row in plan(typed):
                table.add_row(*row)
            console.print(table)
            return
        journal = generate(typed, console)
        table = Table("outcome", "prompts", title=f"{typed.name}", title_justify="left")
        for outcome in sorted(set(journal.done.values())):
            table.add_row(outcome, f"{sum(o == outcome for o in journal.done.values()):,}")
        console.print(table)
        console.print(f"{len(journal.rows):,} rows, {journal.tokens:,} teacher tokens; wrote {journal.folder}", highlight=False)
