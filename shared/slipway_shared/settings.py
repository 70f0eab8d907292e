"""Where a service's settings come from: defaults, then the environment, then Vault; and what happens to a variable that nobody knows.

One frozen model per service, units in the names. It refuses to hold any value of its own: each service passes its settings on.
"""

import difflib
import os
import sys
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from slipway_shared.vault import VaultSource, VaultUnavailableError

SERVICE_PREFIXES = (
    "SLIPWAY_GATEWAY_",
    "SLIPWAY_GENERATOR_",
    "SLIPWAY_RETRIEVER_",
    "SLIPWAY_RERANKER_",
    "SLIPWAY_SAFETY_",
)
PLATFORM_VARIABLES: dict[str, str] = {
    "SLIPWAY_PORT": "the public port, Envoy's edge listener (8080)",
    "SLIPWAY_INTERNAL_PORT": "Envoy's internal listener (8090)",
    "SLIPWAY_ADMIN_PORT": "Envoy's admin listener (8099)",
    "SLIPWAY_REDIS_PORT": "Redis (8091)",
    "SLIPWAY_REDIS_URL": "where the gateway finds Redis",
    "SLIPWAY_GENERATOR_URL": "where the gateway finds the generator, or anything that speaks its dialect",
    "SLIPWAY_RETRIEVER_URL": "where the gateway finds the retriever",
    "SLIPWAY_RERANKER_URL": "where the gateway finds the reranker",
    "SLIPWAY_SAFETY_URL": "where the gateway finds the safety filter",
    "SLIPWAY_HOME": "folder of keys, logs and stores (.slipway)",
    "SLIPWAY_MODEL": "model folder that `slipway up` serves instead of the embedded one",
    "SLIPWAY_ENGINE": "engine that `slipway up` must use: llamacpp, onnx or echo",
    "SLIPWAY_PART": "mark of the supervisor on the processes that it started",
    "SLIPWAY_BASE_URL": "base URL that the command line and the examples talk to",
    "SLIPWAY_API_KEY": "key that the command line and the examples use",
    "SLIPWAY_DATA_DIR": "folder of open data for training, evaluation and the tests that read it",
    "SLIPWAY_CRDS_DIR": "folder of CRD schemas that manifests are checked with",
    "SLIPWAY_WHEEL_CACHE": "where compiled llama.cpp wheels are kept (~/.cache/slipway/wheels)",
    "SLIPWAY_VAULT_ADDR": "address of Vault; without it Vault is not asked",
    "SLIPWAY_VAULT_TOKEN": "token for Vault",
    "SLIPWAY_VAULT_ROLE_ID": "AppRole login, in place of a token",
    "SLIPWAY_VAULT_SECRET_ID": "AppRole login, second half",
    "SLIPWAY_VAULT_MOUNT": "mount of the KV store (secret)",
}
"""Variables of the command line, the tests and the make verbs, which a service meets in its environment and leaves alone; with what they mean."""


class ServiceSettings(BaseSettings):
    """What every service can be told. A subclass names its prefix: `model_config = service_config("SLIPWAY_GATEWAY_")`."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    host: str = "127.0.0.1"
    port: int = Field(default=0, ge=0, le=65535, description="0 lets the system choose")
    log_level: str = Field(default="INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$")
    drain_seconds: float = Field(default=20.0, ge=0, le=600, description="how long running requests may take to finish after SIGTERM")
    unready_seconds: float = Field(
        default=0.2, ge=0, le=60, description="how long readiness is off before the listener closes, so that balancers notice"
    )
    max_body_bytes: int = Field(default=8 << 20, ge=1024)
    otlp_endpoint: str | None = Field(default=None, description="OTLP/HTTP address that spans are sent to; none are made without it")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """What was passed in, then Vault, then the environment; no dotenv files, for they are committed by accident."""
        return init_settings, VaultSource(settings_cls), env_settings


SettingsT = TypeVar("SettingsT", bound=ServiceSettings)


class SettingsError(Exception):
    """The environment cannot be used; the message lists every variable at fault."""


def service_config(prefix: str) -> SettingsConfigDict:
    """The pydantic-settings configuration of a service whose own variables begin with `prefix`."""
    return SettingsConfigDict(env_prefix=prefix, frozen=True, extra="forbid", populate_by_name=True, env_ignore_empty=True)


def load(settings: type[SettingsT], environ: Mapping[str, str] | None = None, **overrides: Any) -> SettingsT:
    """Build `settings` from the environment; raises SettingsError that lists every unknown, malformed or missing variable."""
    unknown = _unknown(settings, os.environ if environ is None else environ)
    problems = [f"{name} is not a setting{_hint(name, settings)}" for name in unknown]
    try:
        loaded = settings(**overrides)
    except VaultUnavailableError as error:
        problems.append(str(error))
        loaded = None
    except ValidationError as error:
        problems += [f"{_variable(settings, str(e['loc'][0]) if e['loc'] else '')}: {e['msg']}" for e in error.errors()]
        loaded = None
    if loaded is None or problems:
        raise SettingsError("; ".join(problems))
    return loaded


def load_or_exit(settings: type[SettingsT], **overrides: Any) -> SettingsT:
    """`load` for a process's entry point: prints the list and exits with 2."""
    try:
        return load(settings, **overrides)
    except SettingsError as error:
        sys.stderr.write(f"settings: {error}\n")
        raise SystemExit(2) from None


def variables(settings: type[ServiceSettings]) -> dict[str, FieldInfo]:
    """Every environment variable that `settings` reads."""
    return {_variable(settings, name): field for name, field in settings.model_fields.items()}


def _variable(settings: type[ServiceSettings], name: str) -> str:
    field = settings.model_fields.get(name)
    if field is not None and isinstance(field.validation_alias, str):
        return field.validation_alias
    return name if name.startswith("SLIPWAY_") else f"{settings.model_config.get('env_prefix', '')}{name}".upper()


def _unknown(settings: type[ServiceSettings], environ: Mapping[str, str]) -> list[str]:
    own = settings.model_config.get("env_prefix", "")
    known = {*variables(settings), *PLATFORM_VARIABLES}
    others = tuple(prefix for prefix in SERVICE_PREFIXES if prefix != own)
    return sorted(n for n in environ if n.startswith("SLIPWAY_") and n not in known and not n.startswith(others))


def _hint(name: str, settings: type[ServiceSettings]) -> str:
    close = difflib.get_close_matches(name, [*variables(settings), *PLATFORM_VARIABLES], n=1)
    return f" (did you mean {close[0]}?)" if close else ""
