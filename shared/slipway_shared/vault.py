"""Settings from HashiCorp Vault: what stands in `<mount>/slipway/<service>` (KV version 2) beats the environment.

It knows how to log in (token or AppRole) and to read one secret at start. It refuses to write, to renew in the background, and to keep what it read:
pydantic holds the values, as SecretStr where the setting says so. Without SLIPWAY_VAULT_ADDR nothing here is imported or called.
"""

import os
from collections.abc import Mapping
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

TIMEOUT_SECONDS = 5


class VaultUnavailableError(Exception):
    """Vault is named in the environment but gave nothing; the message says which step failed and holds no secret."""


def read(service: str, environ: Mapping[str, str]) -> dict[str, Any]:
    """The settings of `service` in Vault, by setting name; empty when no Vault is named or the secret does not exist."""
    address = environ.get("SLIPWAY_VAULT_ADDR")
    if not address:
        return {}
    import hvac
    import requests
    from hvac.exceptions import InvalidPath, VaultError

    client = hvac.Client(url=address, timeout=TIMEOUT_SECONDS, token=environ.get("SLIPWAY_VAULT_TOKEN"))
    try:
        if role := environ.get("SLIPWAY_VAULT_ROLE_ID"):
            client.auth.approle.login(role_id=role, secret_id=environ.get("SLIPWAY_VAULT_SECRET_ID"))
        mount = environ.get("SLIPWAY_VAULT_MOUNT", "secret")
        answer = client.secrets.kv.v2.read_secret_version(path=f"slipway/{service}", mount_point=mount, raise_on_deleted_version=True)
    except InvalidPath:
        return {}
    except (VaultError, requests.RequestException) as error:
        raise VaultUnavailableError(f"Vault at {address} did not give slipway/{service}: {type(error).__name__}") from None
    finally:
        client.adapter.close()
    return dict(answer["data"]["data"])


class VaultSource(PydanticBaseSettingsSource):
    """pydantic-settings' view of `read`: the service's name is its variables' prefix without SLIPWAY_, in lower case."""

    def __init__(self, settings: type[BaseSettings]) -> None:
        super().__init__(settings)
        service = str(settings.model_config.get("env_prefix", "")).removeprefix("SLIPWAY_").strip("_").lower()
        self._values = read(service, os.environ) if service else {}

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """One setting's value, its key, and that it is no JSON to be decoded."""
        return self._values.get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        """Everything that Vault holds for the service; a name that is no setting is refused by the model, like any other."""
        return self._values
