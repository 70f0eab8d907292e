"""Write docs/configuration.md from the settings themselves: `python deploy/settings_page.py [--check]`.

It knows how a settings class becomes a table. It refuses to describe a setting in its own words: the text is the field's description.
"""

import argparse
import importlib
import sys
from pathlib import Path

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from slipway_shared.settings import PLATFORM_VARIABLES, ServiceSettings, variables

PAGE = Path(__file__).parent.parent / "docs" / "configuration.md"
SERVICES = ("gateway", "generator", "retriever", "reranker", "safety_filter")
INTRODUCTION = """# Configuration

Settings come from the environment, and from Vault where `SLIPWAY_VAULT_ADDR` names one; Vault wins. A variable that begins with `SLIPWAY_` and is not
known stops the start with the list of what is wrong. This page is written by `python deploy/settings_page.py` from the settings themselves.
"""


def page() -> str:
    """The whole page."""
    parts = [INTRODUCTION, _platform()]
    for service in SERVICES:
        parts.append(_service(service.replace("_", " "), settings_of(service)))
    return "\n".join(parts)


def settings_of(service: str) -> type[ServiceSettings]:
    """The settings class of `service`, whatever it is called."""
    members = vars(importlib.import_module(f"slipway_{service}.settings")).values()
    return next(m for m in members if isinstance(m, type) and issubclass(m, ServiceSettings) and m is not ServiceSettings)


def _platform() -> str:
    rows = [f"| `{name}` | {meaning} |" for name, meaning in sorted(PLATFORM_VARIABLES.items())]
    return (
        "## The platform\n\nRead by the command line, the make verbs and the tests:\n\n| variable | meaning |\n|---|---|\n"
        + "\n".join(rows)
        + "\n"
    )


def _service(name: str, settings: type[ServiceSettings]) -> str:
    rows = [
        f"| `{variable}` | {_default(field)} | {field.description or _title(variable)} |"
        for variable, field in sorted(variables(settings).items())
    ]
    return f"## The {name}\n\n| variable | default | meaning |\n|---|---|---|\n" + "\n".join(rows) + "\n"


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is PydanticUndefined:
        return "required"
    if value is None or value == "" or isinstance(value, SecretStr):
        return ""
    return f"`{value}`"


def _title(variable: str) -> str:
    return variable.removeprefix("SLIPWAY_").split("_", 1)[-1].replace("_", " ").lower()


def main() -> None:
    parser = argparse.ArgumentParser(description="Write docs/configuration.md from the settings.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 when the page is out of date")
    if parser.parse_args().check:
        sys.exit(
            0
            if PAGE.is_file() and PAGE.read_text() == page()
            else "docs/configuration.md is out of date: run python deploy/settings_page.py"
        )
    PAGE.write_text(page())


if __name__ == "__main__":
    main()
