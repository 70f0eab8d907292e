"""`slipway safety check`: what the safety filter says of a text, for people. It refuses to judge: the running filter does, by its policy."""

import json
import os
import sys
from typing import Annotated

import httpx
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from slipway_shared.contracts import CheckRequest, CheckResponse, Side

from slipway_cli import places
from slipway_cli.api import ApiError

app = typer.Typer(no_args_is_help=True, help="Ask the safety filter.")
console = Console()
EXIT = {"allow": 0, "redact": 3, "block": 4}
SECONDS = 30.0


@app.command()
def check(
    text: Annotated[str, typer.Argument(help="the text; - reads it from standard input")] = "-",
    side: Annotated[Side, typer.Option(help="input: what a user wrote; output: what a model wrote")] = "input",
    as_json: Annotated[bool, typer.Option("--json", help="the filter's own answer, for programs")] = False,
) -> None:
    """Check a text as the platform would: personal data, credentials, attacks, harm, leaked canaries.

    Exits with 0 when the text is allowed, 3 when parts are redacted, 4 when it is blocked. Asks SLIPWAY_SAFETY_URL, or the platform on this machine.

    Example: echo "my card is 4111 1111 1111 1111" | slipway safety check --side output
    """
    body = sys.stdin.read() if text == "-" else text
    verdict = ask(body, side)
    if as_json:
        console.print_json(verdict.model_dump_json())
    else:
        show(verdict, body, console)
    raise typer.Exit(EXIT[verdict.verdict])


def ask(text: str, side: Side) -> CheckResponse:
    """The filter's verdict; raises ApiError with what to do."""
    url = os.environ.get("SLIPWAY_SAFETY_URL") or f"http://{places.LOOPBACK}:{places.ports()['SLIPWAY_SAFETY_PORT']}"
    try:
        asked = CheckRequest(text=text, side=side).model_dump_json()
    except ValueError as error:
        raise ApiError("the text is longer than a million characters; check it in parts") from error
    try:
        answer = httpx.post(
            f"{url}/v1/check", content=asked, headers={"content-type": "application/json"}, timeout=SECONDS, trust_env=False
        )
    except httpx.HTTPError as error:
        raise ApiError(f"the safety filter does not answer at {url}; `slipway up` starts it") from error
    if answer.is_error:
        raise ApiError(f"the safety filter answered {answer.status_code}: {json.loads(answer.content)['error']['message']}")
    return CheckResponse.model_validate_json(answer.content)


def show(verdict: CheckResponse, text: str, out: Console) -> None:
    """The verdict, a row for each finding, and the redacted text."""
    colour = {"allow": "green", "redact": "yellow", "block": "red"}[verdict.verdict]
    out.print(f"[bold {colour}]{verdict.verdict}[/]  (policy {escape(verdict.policy)})", highlight=False)
    if verdict.findings:
        table = Table("what", "rule", "score", "threshold", "action", "where", box=None)
        for found in verdict.findings:
            where = escape(text[found.start : found.end][:40]) if found.end > found.start else ""
            table.add_row(found.category, found.rule, f"{found.score:.2f}", f"{found.threshold:.2f}", found.action, where)
        out.print(table)
    if verdict.text is not None:
        out.print(verdict.text, markup=False, highlight=False, soft_wrap=True)
