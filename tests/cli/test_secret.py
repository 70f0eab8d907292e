"""The key is made once and kept for its owner alone."""

import stat

import pytest
from slipway_cli import places, secret


def test_a_key_is_made_once_and_readable_by_its_owner_alone(home: places.Home) -> None:
    first = secret.local_key(home)
    assert secret.local_key(home) == first == secret.read_key(home)
    assert len(first) > 40
    assert stat.S_IMODE(home.key.stat().st_mode) == 0o600
    assert secret.admin_token(home) != first


def test_a_key_from_the_environment_is_kept(home: places.Home, monkeypatch: pytest.MonkeyPatch) -> None:
    secret.local_key(home)
    monkeypatch.setenv("SLIPWAY_GATEWAY_BOOTSTRAP_KEY", "sk-given-by-the-owner")
    assert secret.local_key(home) == "sk-given-by-the-owner" == secret.read_key(home)
