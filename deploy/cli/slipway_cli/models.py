"""Which model flavor a start serves, and how a GGUF of one's own becomes a flavor.

It knows manifests and what this machine can run. It refuses to load weights, and to verify them: the generator does that before it opens them.
"""

import importlib.util
import os
import platform
import re
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from slipway_shared import manifest

from slipway_cli import cpu

EMBEDDED = "slipway-reader"
DECODER = "slipway-reader-llama"
# What each engine is given when nobody names a folder. Nobody chose an engine: the reader that points, which answers far better (its card has the figures) and runs
# wherever ONNX Runtime does. The decoder's 8 bits quote more exactly than 4 and cost a few megabytes more; ONNX Runtime's 8-bit export is far larger.
PREFERRED = {
    "pointer": (EMBEDDED, ("int8", "fp32")),
    "llamacpp": (DECODER, ("int8", "int4", "fp16")),
    "onnx": (DECODER, ("int4-onnx", "int8-onnx")),
}
_GGUF_MAGIC = b"GGUF"


class ModelError(Exception):
    """There is no model to serve, or a file that cannot become one; the message says what to do."""


@dataclass(frozen=True)
class Choice:
    """`setting` is what the generator is told; `note` says what a user should know about the choice."""

    setting: str
    name: str
    note: str = ""


def choose(root: Path, environ: Mapping[str, str] = os.environ) -> Choice:
    """SLIPWAY_MODEL's folder, else the embedded model in the flavor that suits this machine; raises ModelError."""
    if named := environ.get("SLIPWAY_MODEL") or environ.get("SLIPWAY_GENERATOR_MODEL"):
        return _named(root, named)
    engine = environ.get("SLIPWAY_ENGINE", "")
    if engine == "echo":
        return Choice("echo", "echo", "SLIPWAY_ENGINE=echo: a generator without weights")
    if engine and engine not in PREFERRED:
        raise ModelError(f"SLIPWAY_ENGINE={engine!r} is none of {', '.join([*PREFERRED, 'echo'])}")
    chosen = engine or "pointer"
    if chosen == "llamacpp" and (problem := llamacpp_problem()):
        raise ModelError(f"SLIPWAY_ENGINE=llamacpp, but {problem}")
    note = "" if engine else llamacpp_problem()
    name, flavors = PREFERRED[chosen]
    return _embedded(
        root / "models" / name,
        flavors,
        f"{note}: models in GGUF cannot be served, the embedded reader needs ONNX Runtime alone" if note else "",
    )


def llamacpp_problem() -> str:
    """Why llama.cpp cannot run here, or the empty string."""
    spec = importlib.util.find_spec("llama_cpp")
    if spec is None or not spec.submodule_search_locations:
        return "llama.cpp is not built"
    missing = cpu.missing_flags(Path(spec.submodule_search_locations[0]) / "lib")
    return f"llama.cpp was built for a processor with {', '.join(missing)}" if missing else ""


def add(file: Path, models: Path, *, name: str | None = None, context_tokens: int = 4096) -> Path:
    """Copy a GGUF into a folder of its own below `models`, with a manifest; returns the folder. Raises ModelError."""
    with file.open("rb") as handle:
        if handle.read(4) != _GGUF_MAGIC:
            raise ModelError(f"{file} is no GGUF file")
    model, flavor = _split(name or file.stem)
    folder = models / model / flavor
    if folder.exists():
        raise ModelError(f"{folder} exists already; remove it or give another --name")
    folder.mkdir(parents=True)
    try:
        shutil.copyfile(file, folder / file.name)
        row = manifest.describe_file(folder, file.name)
        manifest.write_manifest(
            folder,
            manifest.Manifest(
                model=model, flavor=flavor, engine="llamacpp", kind="chat", entry=file.name, files=(row,), context_tokens=context_tokens,
                device_classes=("arm",) if platform.machine() in ("aarch64", "arm64") else ("x86",), license="unknown",
                memory_floor_mb=max(64, row.bytes * 5 // 4 >> 20), created=int(time.time()),
            ),
        )  # fmt: skip
    except (OSError, ValueError):
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return folder


def _named(root: Path, named: str) -> Choice:
    if named == "echo":
        return Choice("echo", "echo", "a generator without weights")
    folder = next((path for path in (Path(named).expanduser(), root / named) if path.is_dir()), None)
    if folder is None:
        raise ModelError(f"SLIPWAY_MODEL={named!r} is no folder; `slipway model add FILE.gguf` makes one and names it")
    described = _read(folder.resolve())
    return Choice(str(folder.resolve()), described.id)


def _embedded(folder: Path, wanted: tuple[str, ...], note: str) -> Choice:
    flavors = {path.name: path for path in manifest.find_flavors(folder)}
    for flavor in wanted:
        if path := flavors.get(flavor):
            return Choice(str(path.resolve()), _read(path).id, note)
    raise ModelError(f"{folder} holds none of the flavors {', '.join(wanted)}; set SLIPWAY_MODEL to the folder of another model")


def _read(folder: Path) -> manifest.Manifest:
    try:
        return manifest.read_manifest(folder)[0]
    except manifest.ManifestError as error:
        raise ModelError(str(error)) from error


def _split(name: str) -> tuple[str, str]:
    """`smollm2-135m-instruct-q4_k_m` is the model `smollm2-135m-instruct` in flavor `q4_k_m`; `name:flavor` says it outright."""
    safe = re.sub(r"[^A-Za-z0-9._:-]+", "-", name).strip("-.:")
    if ":" in safe:
        model, flavor = safe.split(":", 1)
        return model, flavor.replace(":", "-")
    match = re.search(r"[-.]((?:I?Q\d\w*|F16|BF16|F32))$", safe, re.IGNORECASE)
    return (safe[: match.start()], match.group(1).lower()) if match else (safe, "gguf")
