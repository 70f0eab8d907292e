"""`python -m slipway_training sweep RECIPE` and `... portfolio reasoning`.

It knows options and the order of work. It refuses to know how anything is done.
"""

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from slipway_training.errors import ConfigError
from slipway_training.outputs import writable
from slipway_training.portfolio.cli import portfolio_app
from slipway_training.told import told

app = typer.Typer()


@app.command("sweep")
def sweep_command(
    name: Annotated[str, typer.Argument(metavar="RECIPE", help="sft, lora, distill, dpo, pretrain: any recipe that leaves a report.json")],
    overrides: Annotated[list[str] | None, typer.Argument(help="key=value pairs that every trial has")] = None,
    param: Annotated[
        list[str] | None, typer.Option("--param", help="KEY=log:LOW:HIGH, KEY=float:LOW:HIGH, KEY=int:LOW:HIGH or KEY=choice:A,B,C")
    ] = None,
    trials: Annotated[int, typer.Option(min=1, help="in all, those of an earlier call with the same words counted")] = 8,
    metric: Annotated[str, typer.Option(help="a number of the run's report.json; the lowest wins")] = "held_out_loss",
    highest: Annotated[bool, typer.Option("--highest", help="the highest wins, as for dpo's `margin` and `preferred`")] = False,
    config: Annotated[Path | None, typer.Option(help="another config.yaml")] = None,
    out: Annotated[Path, typer.Option(help="study.db, a folder a trial, README.md, search.svg")] = Path("runs/sweep"),
    tiny: Annotated[bool, typer.Option("--tiny", help="sweep the recipe's tiny form")] = False,
) -> None:
    """Search the best values of some keys with Optuna. Restartable: the same words go on, also within a trial that was stopped."""
    console = Console()
    with told(console):
        from slipway_training.tuning.sweep import parameter, sweep

        if not param:
            raise ConfigError("name at least one key, such as --param optim.learning_rate=log:1e-4:1e-2")
        writable(out, "--out")
        if not sweep(
            name, [parameter(p) for p in param], overrides or [], trials, metric, out, console, tiny=tiny, highest=highest, config=config
        ):
            console.print("stopped; the same command goes on from here")
            raise typer.Exit(75)
        console.print((out / "README.md").read_text(encoding="utf-8"), highlight=False, markup=False, soft_wrap=True)


@portfolio_app.command("reasoning")
def portfolio_reasoning(
    student: Annotated[str, typer.Option(help="a Hugging Face folder; default: a small base that is pretrained here first")] = "",
    teacher_url: Annotated[
        str, typer.Option(help="base of any OpenAI-compatible API; default: no model, the gold rationales shortened")
    ] = "",
    teacher_model: Annotated[str, typer.Option(help="its name, as the API knows it")] = "",
    teacher_version: Annotated[str, typer.Option(help="release, revision or digest")] = "",
    teacher_licence: Annotated[str, typer.Option(help="must allow training on its output: you state that it does")] = "",
    teacher_key: Annotated[str, typer.Option(help="the environment variable that holds the key")] = "",
    limit: Annotated[int, typer.Option(min=1, help="problems and choices to learn from, of each")] = 2000,
    held: Annotated[int, typer.Option(min=2, help="held-out problems and choices, of each")] = 200,
    pretrain_tokens: Annotated[int, typer.Option(min=0, help="of the base that is made here; 0: a random one")] = 1_000_000,
    epochs: Annotated[float, typer.Option(min=0.1)] = 2.0,
    threads: Annotated[int, typer.Option(min=1)] = 1,
    out: Annotated[Path, typer.Option(help="where legs are kept; a finished one is not run again")] = Path("runs/portfolio-reasoning"),
    report: Annotated[Path | None, typer.Option(help="folder of the report; default: --out/report")] = None,
    data_dir: Annotated[str, typer.Option(help="default: SLIPWAY_DATA_DIR")] = "",
    tiny: Annotated[bool, typer.Option("--tiny", help="self-made sums, a random student: every step in under a minute")] = False,
) -> None:
    """Distil short rationales into a student: before, after answers alone, after rationales; deltas with paired bootstrap, latency, one report."""
    console = Console()
    with told(console):
        from dataclasses import replace

        from slipway_training.sources.provenance import data_dir as find_data
        from slipway_training.tuning import reasoning
        from slipway_training.tuning.reasoning_data import read_sets
        from slipway_training.tuning.reasoning_report import write_report

        writable(out, "--out")
        plan = reasoning.Plan(limit=limit, held=held, pretrain_tokens=pretrain_tokens, epochs=epochs, threads=threads)
        plan = replace(reasoning.TINY if tiny else plan, student=student)
        root = None if tiny else find_data(data_dir)
        sets = read_sets(root, plan.limit, plan.held)
        teacher = None
        if teacher_url:
            if not (teacher_model and teacher_version and teacher_licence):
                raise ConfigError(
                    "a teacher needs --teacher-model, --teacher-version and --teacher-licence: they stand in the provenance of what it taught"
                )
            teacher = reasoning.teacher_config(plan, sets, out, teacher_url, teacher_model, teacher_version, teacher_licence, teacher_key)
        scores, record = reasoning.run_legs(plan, sets, out, teacher, str(root or os.devnull), console)
        console.print(write_report(report or out / "report", plan, sets, scores, record), highlight=False, markup=False, soft_wrap=True)
