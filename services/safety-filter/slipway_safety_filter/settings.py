"""What the safety filter can be told."""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from slipway_shared.settings import ServiceSettings, service_config


class SafetySettings(ServiceSettings):
    """Variables begin with SLIPWAY_SAFETY_."""

    model_config = service_config("SLIPWAY_SAFETY_")

    port: int = Field(default=8105, ge=0, le=65535)
    policy_file: Path | None = Field(default=None, description="JSON: changes to the built-in policy, for everybody and per tenant")
    classifier: Literal["minilm", "none"] = Field(default="minilm", description="none: rules alone, no weights")
    names: Literal["patterns", "model"] = Field(
        default="patterns", description="how people's names are found: by titles and introductions alone, or by a model as well"
    )
    own_checks: tuple[str, ...] = Field(
        default=(), max_length=32, description='functions of one\'s own that read every prompt and answer: ["package.module:function"]'
    )
    cache_dir: Path = Field(default=Path(".slipway/safety"), description="where the converted encoder is kept")
    audit_file: Path | None = Field(default=None, description="where decisions are appended as JSON lines; the log when unset")
    hash_key: SecretStr | None = Field(
        default=None,
        description="keys audit hashes and placeholders, so that they are the same across restarts and replicas; random when unset",
    )
