"""A model flavor on disk: one folder, one `manifest.json`, every file named with its SHA-256 digest and size.

It knows how a manifest is read, written and verified. It refuses to know how weights are parsed: nothing here opens a file other than to hash it,
and nothing else may open one before `load_verified` has returned.
"""

import hashlib
import json
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from slipway_shared.grounding import ModelKind

MANIFEST = "manifest.json"
MAX_MANIFEST_BYTES = 1 << 20
ALLOWED_SUFFIXES = frozenset({".gguf", ".onnx", ".ort", ".data", ".safetensors", ".json", ".jinja", ".txt", ".md", ".model"})

EngineName = Literal["llamacpp", "onnx", "pointer", "vllm", "echo"]
DeviceClass = Literal["gpu", "x86", "arm", "mobile"]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


class ManifestError(Exception):
    """A model folder that must not be loaded; the message names the file and what is wrong with it."""


class ModelFile(BaseModel):
    """One file of the flavor; `path` is relative to the folder and stays inside it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Annotated[str, StringConstraints(min_length=1, max_length=255)]
    sha256: Sha256
    bytes: Annotated[int, Field(ge=0)]


class Manifest(BaseModel):
    """One flavor of one model. `digest` (of the manifest's own bytes) is the name under which everything else speaks of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    model: Name
    flavor: Name
    engine: EngineName
    kind: ModelKind = "chat"
    entry: str = Field(description="the file (GGUF) or folder ('.' for ONNX) that the engine opens")
    files: Annotated[tuple[ModelFile, ...], Field(min_length=1, max_length=256)]
    device_classes: tuple[DeviceClass, ...] = ("x86", "arm")
    context_tokens: Annotated[int, Field(ge=16, le=1 << 20)]
    memory_floor_mb: Annotated[int, Field(ge=1)] = 64
    created: Annotated[int, Field(ge=0, description="Unix seconds")] = 0
    adapter_of: str | None = Field(
        default=None, max_length=128, description="for a LoRA adapter: the model (or model:flavor) whose weights it changes"
    )
    license: str = "Apache-2.0"
    eval: dict[str, float] = Field(default_factory=dict, description="measured figures, named metric@set")

    @property
    def id(self) -> str:
        """The model's name on the API for this flavor: `slipway-reader:int8`."""
        return f"{self.model}:{self.flavor}"


class VerifiedModel(BaseModel):
    """A manifest whose every file was hashed and found as written."""

    model_config = ConfigDict(frozen=True)

    folder: Path
    manifest: Manifest
    digest: str

    @property
    def entry(self) -> Path:
        """What the engine may open."""
        return self.folder / self.manifest.entry


def read_manifest(folder: Path) -> tuple[Manifest, str]:
    """The manifest of `folder` and its digest (`sha256:...`); raises ManifestError, and hashes nothing but the manifest."""
    path = folder / MANIFEST
    if not path.is_file():
        raise ManifestError(f"{folder} holds no {MANIFEST}; `slipway model add FILE.gguf` writes one")
    raw = path.read_bytes()
    if len(raw) > MAX_MANIFEST_BYTES:
        raise ManifestError(f"{path} is larger than {MAX_MANIFEST_BYTES} bytes")
    try:
        manifest = Manifest.model_validate_json(raw)
    except ValidationError as error:
        first = error.errors()[0]
        raise ManifestError(f"{path}: {'.'.join(map(str, first['loc'])) or 'document'}: {first['msg']}") from error
    return manifest, f"sha256:{hashlib.sha256(raw).hexdigest()}"


def load_verified(folder: Path) -> VerifiedModel:
    """Verify every file of `folder` against its manifest; raises ManifestError on the first that differs, is missing, or leaves the folder."""
    manifest, digest = read_manifest(folder)
    for file in manifest.files:
        _verify(folder, file)
    entry = (folder / manifest.entry).resolve()
    if not entry.is_relative_to(folder.resolve()):
        raise ManifestError(f"entry {manifest.entry!r} leaves its folder")
    if entry.is_file() and manifest.entry not in {file.path for file in manifest.files}:
        raise ManifestError(f"entry {manifest.entry!r} has no digest in the manifest")
    listed = {file.path for file in manifest.files} | {MANIFEST}
    if entry.is_dir():
        stray = sorted(p.name for p in entry.iterdir() if p.is_file() and str(p.relative_to(folder.resolve())) not in listed)
        if stray:
            raise ManifestError(f"{folder} holds files that its manifest does not name: {', '.join(stray[:5])}")
    return VerifiedModel(folder=folder, manifest=manifest, digest=digest)


def write_manifest(folder: Path, manifest: Manifest) -> str:
    """Write `manifest` beside its files and return its digest."""
    raw = json.dumps(manifest.model_dump(mode="json"), indent=1, sort_keys=True).encode() + b"\n"
    (folder / MANIFEST).write_bytes(raw)
    return f"sha256:{hashlib.sha256(raw).hexdigest()}"


def describe_file(folder: Path, path: str) -> ModelFile:
    """The manifest row of a file that lies in `folder`."""
    return ModelFile(path=path, sha256=_sha256(folder / path), bytes=(folder / path).stat().st_size)


def find_flavors(root: Path) -> list[Path]:
    """Every folder below `root` (at most two levels down) that holds a manifest, in name order."""
    return sorted(path.parent for pattern in (MANIFEST, f"*/{MANIFEST}", f"*/*/{MANIFEST}") for path in root.glob(pattern))


def _verify(folder: Path, file: ModelFile) -> None:
    path = folder / file.path
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ManifestError(f"{file.path!r} leaves its folder")
    if path.suffix not in ALLOWED_SUFFIXES:
        raise ManifestError(f"{file.path!r} is not of a kind that is ever loaded ({', '.join(sorted(ALLOWED_SUFFIXES))})")
    if not path.is_file():
        raise ManifestError(f"{path} is missing (make setup puts the embedded models together)")
    if path.stat().st_size != file.bytes:
        raise ManifestError(f"{path} has {path.stat().st_size} bytes, its manifest says {file.bytes}")
    if _sha256(path) != file.sha256:
        raise ManifestError(f"{path} was altered: its SHA-256 is not the one in the manifest")


def _sha256(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
