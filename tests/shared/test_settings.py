import pytest
from pydantic import Field
from slipway_shared import settings
from slipway_shared.settings import ServiceSettings, SettingsError, service_config


class Example(ServiceSettings):
    model_config = service_config("SLIPWAY_GATEWAY_")

    deadline_seconds: float = 30.0
    generator_url: str = Field(default="http://127.0.0.1:1", validation_alias="SLIPWAY_GENERATOR_URL")


def test_the_environment_beats_the_default_and_overrides_beat_both(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_GATEWAY_DEADLINE_SECONDS", "5")
    monkeypatch.setenv("SLIPWAY_GENERATOR_URL", "http://127.0.0.1:2")
    loaded = settings.load(Example, port=7)
    assert (loaded.deadline_seconds, loaded.generator_url, loaded.port) == (5.0, "http://127.0.0.1:2", 7)


def test_unknown_variables_stop_the_start_with_a_list_and_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_GATEWAY_DEADLINE_SECOND", "5")
    monkeypatch.setenv("SLIPWAY_TYPO", "5")
    with pytest.raises(
        SettingsError, match=r"DEADLINE_SECOND is not a setting \(did you mean SLIPWAY_GATEWAY_DEADLINE_SECONDS\?\); SLIPWAY_TYPO is not"
    ):
        settings.load(Example)


def test_a_malformed_value_is_named_by_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_GATEWAY_DEADLINE_SECONDS", "soon")
    with pytest.raises(SettingsError, match="SLIPWAY_GATEWAY_DEADLINE_SECONDS: Input should be a valid number"):
        settings.load(Example)


def test_variables_of_other_services_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_RETRIEVER_PORT", "1")
    monkeypatch.setenv("SLIPWAY_PORT", "8080")
    settings.load(Example)


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        settings.load(Example).port = 3  # type: ignore[misc]
