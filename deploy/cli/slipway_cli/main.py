"""The `slipway` command. Each verb is a few lines here; what it does stands in the module of its name. It refuses to hold any decision."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from typer.core import TyperGroup

from slipway_cli import answers, api, batch, ingest, keys, launch, logs, models, places, safety, status, training, up

console = Console()
LOG_LINES = 20


class Explained(TyperGroup):
    """Errors of ours become one message and exit code 1, whatever the verb; Ctrl-C ends quietly."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (launch.StartError, models.ModelError, places.PlacesError, api.ApiError, OSError) as error:
            console.print("[red]slipway:[/] ", end="")
            console.print(str(error), markup=False, highlight=False, soft_wrap=True)
            raise typer.Exit(1) from error
        except KeyboardInterrupt as error:
            raise typer.Exit(130) from error


app = typer.Typer(
    cls=Explained,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Run Slipway on this machine, and talk to it.",
)
model_app = typer.Typer(no_args_is_help=True, help="Models of your own.")
app.add_typer(model_app, name="model")
app.add_typer(batch.app, name="batch")
app.add_typer(keys.app, name="keys")
app.add_typer(safety.app, name="safety")


@app.command("up")
def start(
    timeout: Annotated[float, typer.Option(help="seconds until every part must be ready")] = 180.0,
    quick: Annotated[bool, typer.Option("--quick", help="start only: ingest nothing and ask nothing")] = False,
) -> None:
    """Start the platform, ingest docs/, ask one question, and print where it is."""
    up.run(console, timeout, quick=quick)


@app.command()
def down() -> None:
    """Stop the platform; nothing is left running."""
    with console.status("stopping: running answers may finish"):
        stopped = launch.stop(places.home())
    console.print(f"Stopped {', '.join(stopped)}." if stopped else "Nothing was running.", soft_wrap=True)


@app.command("status")
def show_status() -> None:
    """A table of the processes: pid, port, ready or not, memory. Exits with 3 when the platform is not up."""
    now = launch.running(places.home())
    if now is None:
        console.print("Slipway is not up; `make up` or `slipway up` starts it.")
        raise typer.Exit(3)
    console.print(status.table(now))


@app.command("logs")
def show_logs(
    name: Annotated[
        str | None, typer.Argument(help="a part: gateway, generator, retriever, reranker, safety, envoy, redis, supervisor")
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="go on printing what comes")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, max=10000)] = LOG_LINES,
) -> None:
    """The last log lines of every part, or of one."""
    files = sorted(places.home().logs.glob("*.log"))
    chosen = [file for file in files if name in (None, file.stem)]
    if not chosen:
        raise launch.StartError(
            f"There is no log {name or ''} in {places.home().logs}; there are: {', '.join(f.stem for f in files) or 'none'}"
        )
    logs.show(chosen, lines, _print_line, follow=follow)


@app.command("ingest")
def ingest_paths(
    paths: Annotated[list[Path], typer.Argument(help="files and folders", exists=True)],
    store: Annotated[str, typer.Option(help="the vector store, by name; made if there is none")] = "default",
) -> None:
    """Bring files into a vector store. What is there unchanged is left; what changed is replaced. Exits with 1 when a file failed."""
    with api.Api(_address()) as client:
        report = up.ingest_with_bar(client, paths, store, console)
        if report.failures:
            raise typer.Exit(1)


@app.command()
def chat(
    once: Annotated[str | None, typer.Option("--once", help="ask this and end")] = None,
    model: Annotated[str | None, typer.Option(help="a name out of /v1/models")] = None,
    store: Annotated[str, typer.Option(help="the vector store to answer from")] = "default",
    free: Annotated[bool, typer.Option("--free", help="answer without reading any store")] = False,
) -> None:
    """Talk to the platform; answers stream, with their citations."""
    with api.Api(_address()) as client:
        chosen = answers.pick_model(client, model)
        store_id = None if free else ingest.find_store(client, store)
        if once is not None:
            answers.ask(client, chosen, [{"role": "user", "content": once}], store_id, console)
            return
        _converse(client, chosen, store_id)


@app.command("train", add_help_option=False, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def train(words: typer.Context) -> None:
    """Train by a recipe: `slipway train RECIPE [key=value ...] [--tiny] [--dry-run]`; `slipway train --help` lists them."""
    raise typer.Exit(training.run(words.args))


@model_app.command("add")
def add_model(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="a GGUF file")],
    name: Annotated[str | None, typer.Option(help="model or model:flavor (default: from the file's name)")] = None,
    context: Annotated[int, typer.Option(min=16, max=1 << 20, help="tokens of context to serve it with")] = 4096,
) -> None:
    """Make a GGUF of your own servable: copy it, and write the manifest that the generator verifies."""
    folder = models.add(file, places.home().models, name=name, context_tokens=context)
    console.print(f"Added {folder}\nServe it:  SLIPWAY_MODEL={folder} slipway up", soft_wrap=True, highlight=False)


def _converse(client: api.Api, model: str, store_id: str | None) -> None:
    console.print(f"[dim]{model}; an empty line or Ctrl-D ends.[/]")
    messages: list[dict[str, str]] = []
    while question := _line():
        messages.append({"role": "user", "content": question})
        try:
            answer = answers.ask(client, model, messages, store_id, console)
        except api.ApiError as error:
            console.print(f"[red]{error}[/]")
            messages.pop()
            continue
        messages.append({"role": "assistant", "content": answer.text or answer.refusal or "-"})


def _line() -> str:
    try:
        return console.input("[bold green]>[/] ").strip()
    except (EOFError, KeyboardInterrupt):
        return ""


def _print_line(part: str, text: str) -> None:
    console.print(f"{part:>10} | {text}", markup=False, highlight=False, soft_wrap=True)


def _address() -> api.Address:
    return up.address(places.home())


if __name__ == "__main__":
    app()
