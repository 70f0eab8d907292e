"""The two secrets of a platform on this machine: the key that its owner calls it with, and the token of its administration. Made once, mode 600."""

import os
import secrets
from pathlib import Path

from slipway_cli.places import Home


def local_key(home: Home) -> str:
    """SLIPWAY_GATEWAY_BOOTSTRAP_KEY if it is set (and then kept), else the key of the last run, else a new one."""
    return _kept(home.key, os.environ.get("SLIPWAY_GATEWAY_BOOTSTRAP_KEY"), "sk-slipway-")


def admin_token(home: Home) -> str:
    """SLIPWAY_GATEWAY_ADMIN_TOKEN if it is set, else the token of the last run, else a new one."""
    return _kept(home.admin_token, os.environ.get("SLIPWAY_GATEWAY_ADMIN_TOKEN"), "admin-slipway-")


def read_key(home: Home) -> str | None:
    """The key of the platform at `home`, if it ever ran."""
    return home.key.read_text().strip() if home.key.is_file() else None


def _kept(path: Path, given: str | None, prefix: str) -> str:
    old = path.read_text().strip() if path.is_file() else ""
    value = given or old or prefix + secrets.token_urlsafe(32)
    if value != old:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as handle:
            handle.write(value + "\n")
        path.chmod(0o600)
    return value
