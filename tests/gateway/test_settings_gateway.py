"""What the environment may say to the gateway."""

import pytest
from pydantic import ValidationError
from slipway_gateway.settings import GatewaySettings
from slipway_shared.settings import SettingsError, load


def test_an_empty_address_means_that_the_part_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_SAFETY_URL", "")
    monkeypatch.setenv("SLIPWAY_GENERATOR_URL", "http://127.0.0.1:1/")
    loaded = load(GatewaySettings)
    assert loaded.safety_url is None and loaded.generator_url == "http://127.0.0.1:1" and loaded.retriever_url is not None


def test_secrets_are_long_and_never_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_GATEWAY_BOOTSTRAP_KEY", "sk-0123456789abcdef")
    assert "0123456789" not in repr(load(GatewaySettings))
    with pytest.raises(ValidationError):
        GatewaySettings.model_validate({"bootstrap_key": "short"})


def test_a_misspelt_variable_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_GATEWAY_DEADLINE", "3")
    with pytest.raises(SettingsError, match="SLIPWAY_GATEWAY_DEADLINE"):
        load(GatewaySettings)
