"""`slipway keys`: the keys of this platform, through the gateway's administration on its own port. It refuses to keep a key: it is shown once."""

import time
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from slipway_cli import api, launch, places, secret

app = typer.Typer(no_args_is_help=True, help="Keys for others: make, list, rotate, revoke.")
console = Console(soft_wrap=True)


@app.command("list")
def show_all() -> None:
    """Every key: who it belongs to and how long it lives; never the key itself."""
    with _admin() as client:
        out = Table("id", "tenant", "name", "expires", "routes", "models")
        for key in client.call("GET", "/admin/keys")["data"]:
            out.add_row(
                key["id"],
                key["tenant"],
                key.get("name") or "",
                _day(key.get("expires")),
                _shown(key.get("routes")),
                _shown(key.get("models")),
            )
        console.print(out)


@app.command()
def create(
    tenant: Annotated[str, typer.Argument(help="whose files, stores and limits it opens")],
    name: Annotated[str, typer.Option(help="what it is for")] = "",
    days: Annotated[int | None, typer.Option(min=1, max=3660, help="how long it lives")] = None,
    requests: Annotated[int | None, typer.Option(min=1, help="requests per minute")] = None,
    tokens: Annotated[int | None, typer.Option(min=1, help="tokens per minute")] = None,
    model: Annotated[list[str] | None, typer.Option(help="only this model; may be repeated")] = None,
) -> None:
    """Make a key and print it, once."""
    limits = {"requests_per_minute": requests, "tokens_per_minute": tokens}
    body: dict[str, Any] = {
        "tenant": tenant,
        "name": name,
        "limits": {field: value for field, value in limits.items() if value is not None},
    }
    if days is not None:
        body["ttl_seconds"] = days * 86400
    if model:
        body["models"] = model
    with _admin() as client:
        _print_once(client.call("POST", "/admin/keys", json=body))


@app.command()
def rotate(key_id: Annotated[str, typer.Argument(help="as `slipway keys list` shows it")]) -> None:
    """Give a key a new secret; the old one stops at once."""
    with _admin() as client:
        _print_once(client.call("POST", f"/admin/keys/{key_id}/rotate"))


@app.command()
def revoke(key_id: Annotated[str, typer.Argument(help="as `slipway keys list` shows it")]) -> None:
    """End a key."""
    with _admin() as client:
        client.call("DELETE", f"/admin/keys/{key_id}")
    console.print(f"{key_id} is revoked.")


def _admin() -> api.Api:
    home = places.home()
    now = launch.running(home)
    if now is None:
        raise launch.StartError("Slipway is not up; `make up` or `slipway up` starts it")
    port = places.Ports(now.ports)["SLIPWAY_GATEWAY_PORT"]
    return api.Api(api.Address(f"http://{places.LOOPBACK}:{port}", secret.admin_token(home)))


def _print_once(key: dict[str, Any]) -> None:
    console.print(f"{key['key']}\n[dim]{key['id']} of tenant {key['tenant']}; it is not shown again[/]", highlight=False)


def _day(expires: int | None) -> str:
    return "never" if expires is None else time.strftime("%Y-%m-%d %H:%M", time.localtime(expires))


def _shown(value: object) -> str:
    if value is None:
        return "any"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
