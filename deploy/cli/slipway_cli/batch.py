"""`slipway batch`: many requests from a file, answered while nobody waits. It refuses to read requests: the gateway checks every line."""

import json
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from slipway_cli import api, places, up

app = typer.Typer(no_args_is_help=True, help="Many requests from a file, answered at low priority.")
console = Console(soft_wrap=True)
OVER = frozenset({"completed", "failed", "expired", "cancelled"})
POLL_SECONDS = 0.5

BatchId = Annotated[str, typer.Argument(help="as `slipway batch list` shows it")]
Out = Annotated[Path | None, typer.Option(help="where the results go; default: beside the file, NAME.results.jsonl")]


@app.command()
def run(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help='JSONL: {"custom_id", "method": "POST", "url", "body"} a line')],
    out: Out = None,
    wait: Annotated[bool, typer.Option(help="wait for the results; --no-wait prints the id and ends")] = True,
) -> None:
    """Upload a file of requests, run it, and bring the results. Exits with 1 when a line failed; ending it early leaves the batch running.

    Example line: {"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "...", "messages": [...]}}
    """
    with _client() as client:
        endpoint = _endpoint(file)
        with file.open("rb") as opened:
            uploaded = client.call("POST", "/v1/files", files={"file": (file.name, opened)}, data={"purpose": "batch"})
        asked = {"input_file_id": uploaded["id"], "endpoint": endpoint, "completion_window": "24h"}
        batch = client.call("POST", "/v1/batches", json=asked)
        if not wait:
            console.print(batch["id"], highlight=False)
            return
        batch = _waited(client, batch)
        raise typer.Exit(_bring(client, batch, out or file.with_name(f"{file.stem}.results.jsonl")))


@app.command("list")
def show_all() -> None:
    """Every batch of your tenant, newest first."""
    with _client() as client:
        table = Table("id", "status", "done", "failed", "of", "made")
        for batch in client.pages("/v1/batches"):
            counts = batch["request_counts"]
            made = time.strftime("%Y-%m-%d %H:%M", time.localtime(batch["created_at"]))
            table.add_row(batch["id"], batch["status"], str(counts["completed"]), str(counts["failed"]), str(counts["total"]), made)
        console.print(table)


@app.command()
def results(batch_id: BatchId, out: Out = None) -> None:
    """Wait for a batch, and bring its results. Exits with 1 when a line failed."""
    with _client() as client:
        batch = _waited(client, client.call("GET", f"/v1/batches/{batch_id}"))
        raise typer.Exit(_bring(client, batch, out or Path(f"{batch_id}.results.jsonl")))


@app.command()
def cancel(batch_id: BatchId) -> None:
    """Stop a batch; what was answered before is kept."""
    with _client() as client:
        batch = client.call("POST", f"/v1/batches/{batch_id}/cancel")
        console.print(f"{batch_id} is {batch['status']}.")


def _client() -> api.Api:
    return api.Api(up.address(places.home()))


def _endpoint(file: Path) -> str:
    """What the first line asks for: a batch is for one endpoint, and the gateway holds every line to it."""
    with file.open("rb") as opened:
        line = opened.readline(1 << 24)
    try:
        return str(json.loads(line)["url"])
    except (ValueError, KeyError, TypeError) as error:
        raise api.ApiError(f'{file} is no batch: its first line has no "url" (see `slipway batch run --help`)') from error


def _waited(client: api.Api, batch: dict[str, Any]) -> dict[str, Any]:
    """The batch when it is over, behind a bar."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(batch["status"], total=None)
        while True:
            counts = batch["request_counts"]
            done = counts["completed"] + counts["failed"]
            progress.update(task, description=batch["status"], completed=done, total=counts["total"] or None)
            if batch["status"] in OVER:
                return batch
            time.sleep(POLL_SECONDS)
            batch = client.call("GET", f"/v1/batches/{batch['id']}")


def _bring(client: api.Api, batch: dict[str, Any], out: Path) -> int:
    """Writes the answers to `out`, good ones first; returns the exit code."""
    for problem in (batch.get("errors") or {}).get("data") or []:
        where = f"line {problem['line']}: " if problem.get("line") else ""
        console.print(f"{where}{problem['message']}", markup=False, highlight=False)
    files = [batch[name] for name in ("output_file_id", "error_file_id") if batch.get(name)]
    counts = batch["request_counts"]
    if files:
        with out.open("wb") as opened:
            for file_id in files:
                opened.write(client.content(f"/v1/files/{file_id}/content"))
    told = f"; results in {out}" if files else ""
    console.print(f"{batch['id']} is {batch['status']}: {counts['completed']} of {counts['total']} answered{told}", highlight=False)
    return 0 if batch["status"] == "completed" and not counts["failed"] else 1
