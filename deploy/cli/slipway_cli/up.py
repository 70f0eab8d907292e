"""`slipway up`, step by step: start, read docs/, ask one question, say where everything is. It refuses to manage processes (launch.py)."""

import os
import time
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from slipway_cli import answers, api, ingest, launch, models, places, secret, state, weights

QUESTION = "What port does the edge listen on?"


def run(console: Console, timeout: float, *, quick: bool) -> None:
    """The whole of `slipway up`; raises StartError, PlacesError, ModelError or ApiError."""
    home = places.home()
    with launch.alone(home):
        if (now := launch.running(home)) is not None:
            if now.phase == "starting":
                now = launch.follow(home, Steps(console).notice, timeout)
            console.print("[green]Slipway is up already.[/]")
            show_urls(console, home, now)
            return
        weights.restore(places.project_root() / "models")
        choice = models.choose(places.project_root())
        if choice.note:
            console.print(f"[yellow]{choice.note}[/]", highlight=False)
        console.print(f"starting Slipway with [bold]{choice.name}[/] (logs in {home.logs})", highlight=False, soft_wrap=True)
        now = launch.start(home, Steps(console).notice, timeout)
    if not quick:
        with api.Api(address(home)) as client:
            ingest_with_bar(client, [places.project_root() / "docs"], "default", console)
            _ask(client, console)
    show_urls(console, home, now)


def address(home: places.Home) -> api.Address:
    """SLIPWAY_BASE_URL and SLIPWAY_API_KEY, else the platform that runs at `home`."""
    now = launch.running(home)
    base = os.environ.get("SLIPWAY_BASE_URL", "").rstrip("/").removesuffix("/v1")
    if not base:
        if now is None:
            raise launch.StartError("Slipway is not up; `make up` or `slipway up` starts it (or set SLIPWAY_BASE_URL)")
        base = places.Ports(now.ports).base_url
    key = os.environ.get("SLIPWAY_API_KEY") or secret.read_key(home)
    if not key:
        raise launch.StartError(f"there is no key in {home.key}; set SLIPWAY_API_KEY")
    return api.Address(base, key)


def show_urls(console: Console, home: places.Home, now: state.State) -> None:
    """What somebody needs to use the platform."""
    base, key = places.Ports(now.ports).base_url, secret.read_key(home)
    console.print()
    for name, value in {
        "base URL": f"{base}/v1",
        "key": f"{key}   (also in {home.key})",
        "playground": f"{base}/#key={key}",
        "model": now.model,
    }.items():
        console.print(f"  [bold]{name:<10}[/] {value}", highlight=False, soft_wrap=True)


def ingest_with_bar(client: api.Api, paths: list[Path], store: str, console: Console) -> ingest.Report:
    """Ingest with a progress bar and a line per failure."""
    sources = list(ingest.find(paths))
    with Progress(
        TextColumn("reading"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[file]}"), console=console, transient=True
    ) as bar:
        report = ingest.ingest(client, sources, store, Bar(bar))
    console.print(
        f"[green]✓[/] store {store}: {report.added} files added, {report.replaced} replaced, {report.unchanged} unchanged", highlight=False
    )
    for name, reason in report.failures.items():
        console.print(f"[red]✗ {name}[/]: {reason}", highlight=False, soft_wrap=True)
    return report


class Bar:
    """A rich progress bar as ingest sees it."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=0, file="")

    def begin(self, files: int) -> None:
        self._progress.update(self._task, total=files)

    def advance(self, file: str) -> None:
        self._progress.update(self._task, advance=1, file=file)


class Steps:
    """Prints a line when a part becomes ready, once."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._ready: set[str] = set()
        self._since = time.monotonic()

    def notice(self, now: state.State) -> None:
        for part in now.parts:
            if part.phase == "ready" and part.name not in self._ready:
                self._ready.add(part.name)
                self._console.print(
                    f"[green]✓[/] {part.name:<10} port {part.port}, {time.monotonic() - self._since:.1f} s", highlight=False
                )


def _ask(client: api.Api, console: Console) -> None:
    console.print(f"\n[bold]>[/] {QUESTION}", highlight=False)
    model = answers.pick_model(client, None)
    answers.ask(client, model, [{"role": "user", "content": QUESTION}], ingest.find_store(client, "default"), console)
