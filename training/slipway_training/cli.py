"""The command line: `python -m slipway_training train RECIPE`, `... evaluate`, `... export`.

It knows options, tables and exit codes. It refuses to know how anything is done: it calls one function per verb.
"""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from slipway_shared.manifest import find_flavors, load_verified

from slipway_training.data.cli import app as data_app
from slipway_training.pointer.cli import ablate_app
from slipway_training.portfolio.cli import portfolio_app
from slipway_training.pretrain.cli import app as pretrain_app
from slipway_training.recipes import RECIPES, recipe
from slipway_training.told import told
from slipway_training.tuning.cli import app as tuning_app
from slipway_training.understand.cli import understand_app

app = typer.Typer(
    no_args_is_help=True, add_completion=False, rich_markup_mode="markdown", pretty_exceptions_enable=False,
    help="Build small language models: prepare data, train, evaluate, export.\n\nStart with `train reader --tiny` "
    "(seconds, no data needed), then `train reader --dry-run` (what the real run costs on this machine).",
)  # fmt: skip
evaluate_app = typer.Typer(no_args_is_help=True, help="Measure a flavor beside the extractive baseline, with intervals.")
export_app = typer.Typer(no_args_is_help=True, help="Write the flavors of a finished run.")
app.add_typer(evaluate_app, name="evaluate")
app.add_typer(export_app, name="export")
app.add_typer(data_app, name="data")
app.add_typer(pretrain_app)
app.add_typer(tuning_app)
app.add_typer(ablate_app, name="ablate")
app.add_typer(understand_app, name="understand")
app.add_typer(portfolio_app, name="portfolio")

Overrides = Annotated[list[str] | None, typer.Argument(help="key=value pairs laid over the recipe, such as model.layers=4 run.minutes=60")]
Config = Annotated[Path | None, typer.Option(help="another config.yaml")]


@app.command()
def train(
    name: Annotated[str, typer.Argument(metavar="RECIPE", help=f"one of: {', '.join(sorted(RECIPES))}")],
    overrides: Overrides = None,
    config: Config = None,
    tiny: Annotated[
        bool, typer.Option("--tiny", help="a small run on self-made text: every step in under a minute, no data needed")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="print parameters, tokens, memory and hours on this machine, then stop")
    ] = False,
) -> None:
    """Train by a recipe (`recipes` lists them, training/recipes/RECIPE/README.md explains each).

    A run is restartable: stop it with Ctrl-C or SIGTERM, start it again with the same words, and it goes on where it was.
    Data is read from the folder that `SLIPWAY_DATA_DIR` (or `run.data_dir=`) names.
    """
    console = Console()
    with told(console):
        chosen = recipe(name)
        typed = chosen.load(config, overrides or [], tiny=tiny)
        if dry_run:
            _show_plan(console, name, chosen.dry_run(typed))
            return
        if not chosen.start(typed, console):
            console.print("stopped; the same command goes on from here")
            raise typer.Exit(75)  # EX_TEMPFAIL: try again


@app.command("recipes")
def list_recipes(
    only: Annotated[list[str] | None, typer.Option("--only", metavar="RECIPE", help="with --tiny: these instead of all")] = None,
    tiny: Annotated[bool, typer.Option("--tiny", help="run each one's tiny form in a process of its own and list the seconds")] = False,
) -> None:
    """The recipes, with what each makes; with `--tiny`, whether each works here and how long its tiny form takes."""
    if tiny:
        with told(Console()):
            _try_out(only or sorted(RECIPES))
        return
    table = Table("recipe", "what it makes", box=None, title_justify="left")
    for row in sorted(RECIPES.values(), key=lambda r: r.name):
        table.add_row(row.name, row.summary)
    Console().print(table)


@evaluate_app.command("reader")
def evaluate_reader(
    flavor: Annotated[Path, typer.Option(help="a flavor folder with a manifest")],
    tokenizer: Annotated[
        Path | None, typer.Option(help="tokenizer.json of the run; default beside the flavors, or in the flavor itself")
    ] = None,
    sets: Annotated[list[str] | None, typer.Option("--set", help="squad_sample_validation, factbook_held_out, lookup_unseen")] = None,
    limit: Annotated[int, typer.Option(help="at most this many items of a set; 0 means all")] = 0,
    data_dir: Annotated[str, typer.Option(help="default: SLIPWAY_DATA_DIR")] = "",
    write: Annotated[bool, typer.Option("--write", help="put the figures into the manifest")] = False,
    report: Annotated[Path | None, typer.Option(help="also write them as JSON")] = None,
) -> None:
    """Exact match, F1, citations, abstention and groundedness with bootstrap 95 % intervals, beside the extractive baseline on the same inputs."""
    console = Console()
    with told(console):
        from slipway_training.evaluation.report import evaluate

        evaluate(flavor, tokenizer, tuple(sets or ()), limit, data_dir, console, write=write, report=report)


@export_app.command("reader")
def export_reader(
    run: Annotated[Path, typer.Argument(help="the folder of a run (run.out)")],
    to: Annotated[Path, typer.Option(help="where the flavor folders go")],
    flavors: Annotated[str, typer.Option(help="which, by comma: int8, int4, f16 (GGUF), int4-onnx, int8-onnx")] = "int8,int4,int4-onnx",
) -> None:
    """Export the newest checkpoint of a run, finished or not, in the flavors wanted, and check each against its fp32 parent."""
    console = Console()
    with told(console):
        from slipway_training.reader import export_run

        export_run(run, to, console, tuple(flavors.split(",")))


@export_app.command("pointer")
def export_pointer_command(
    run: Annotated[Path, typer.Argument(help="the folder of a run (run.out)")],
    to: Annotated[Path, typer.Option(help="where the flavor folders go")],
    flavors: Annotated[str, typer.Option(help="which, by comma: int8, fp32")] = "int8",
) -> None:
    """Export the newest checkpoint of a pointer run, and hold the graph against the model."""
    console = Console()
    with told(console):
        from slipway_training.pointer.recipe import export_run

        export_run(run, to, tuple(flavors.split(",")), console)


@export_app.command("ort")
def export_ort_command(
    flavor: Annotated[Path, typer.Argument(help="a flavor folder with model.onnx")],
    to: Annotated[Path, typer.Option(help="the new flavor's folder")],
    platform: Annotated[str, typer.Option(help="arm (phones, tablets, arm64 servers) or amd64")] = "arm",
) -> None:
    """Write a flavor as .ort, the format of ONNX Runtime's mobile and browser builds."""
    console = Console()
    with told(console):
        from slipway_training.errors import ExportError
        from slipway_training.export.ort_file import export_ort

        if platform not in ("arm", "amd64"):
            raise ExportError(f"--platform is arm or amd64, not {platform!r}")
        console.print(f"wrote {export_ort(flavor, to, platform)}")


@export_app.command("borrow")
def export_borrow_command(
    graph: Annotated[Path, typer.Argument(help="an int8 model.onnx below models/ that was tuned from MiniLM, tokenizer.json beside it")],
    models: Annotated[Path, typer.Option(help="the folder of the embedded models")] = Path("models"),
) -> None:
    """Write the form in which the repository keeps an embedded encoder: without its word table, which MiniLM's package lends.

    `make setup` and `slipway up` put the file together again, byte for byte.
    """
    console = Console()
    with told(console):
        from slipway_training.export.borrow import borrow

        written = borrow(graph, models)
        console.print(f"wrote {written} ({written.stat().st_size:,} bytes instead of {graph.stat().st_size:,})")


@export_app.command("adapter")
def export_adapter_command(
    peft: Annotated[Path, typer.Argument(help="a PEFT folder: adapter_config.json, adapter_model.safetensors")],
    base: Annotated[Path, typer.Option(help="config.json of the model that it was tuned on")],
    of: Annotated[str, typer.Option(help="the served model that it belongs to, such as slipway-reader")],
    to: Annotated[Path, typer.Option(help="the folder whose name the adapter gets; `llamacpp` and `vllm` go below it")],
) -> None:
    """Write a LoRA adapter for llama.cpp (GGUF) and for vLLM (as it is), each with a manifest of digests."""
    console = Console()
    with told(console):
        from slipway_training.export.lora_gguf import export_adapter

        shape = json.loads(base.read_text(encoding="utf-8"))
        heads = int(shape["num_attention_heads"])
        context = int(shape["max_position_embeddings"])
        for engine, folder in export_adapter(peft, to, of, heads, int(shape.get("num_key_value_heads") or heads), context).items():
            console.print(f"{engine}: {folder}")


@export_app.command("card")
def export_card(
    run: Annotated[Path, typer.Argument(help="the folder of a run")],
    to: Annotated[Path, typer.Option(help="the folder with the exported flavors; README.md is written there")],
    evals: Annotated[list[str] | None, typer.Option("--eval", help="FLAVOR=FILE, a report of `evaluate reader --report`")] = None,
) -> None:
    """Write the model card from what training, export and evaluation left behind."""
    console = Console()
    with told(console):
        from slipway_training.errors import CheckpointError
        from slipway_training.export.card import write_card
        from slipway_training.pointer.card import write_pointer_card

        if not (run / "config.json").is_file():
            raise CheckpointError(f"{run} holds no run (no config.json)")
        flavors = [load_verified(folder) for folder in find_flavors(to)]
        reports = {name: json.loads(Path(file).read_text(encoding="utf-8")) for name, _, file in (e.partition("=") for e in evals or [])}
        write = write_pointer_card if (run / "vocab.txt").is_file() else write_card
        write(run, flavors, reports, to / "README.md")
        console.print(f"wrote {to / 'README.md'}")


def _try_out(names: list[str]) -> None:
    from slipway_training.tried import tried

    console, failed = Console(), False
    for run in tried(names):
        console.print(
            f"{run.name}: {run.seconds:.1f} s, {run.cpu_seconds:.1f} CPU s {run.failed and 'failed: '}{run.failed}",
            highlight=False,
            markup=False,
        )
        failed = failed or bool(run.failed)
    if failed:
        raise typer.Exit(1)


def _show_plan(console: Console, name: str, rows: list[tuple[str, str]]) -> None:
    table = Table("what", "value", title=f"{name}: dry run", title_justify="left")
    for what, value in rows:
        table.add_row(what, value)
    console.print(table)


def main() -> None:
    """The entry point."""
    app()
