"""Which flavor of a model fits a device, and why the others do not; and what a browser or a phone says of itself.

It knows manifests and device classes. It refuses to know HTTP routes, and gives out no file that a manifest does not name.
"""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict
from slipway_shared import errors, manifest

Arch = Literal["x86", "arm"]
ARCHES: dict[str, Arch] = {"x86": "x86", "x86_64": "x86", "amd64": "x86", "x64": "x86", "arm": "arm", "arm64": "arm", "aarch64": "arm"}
_MEASURED = re.compile(r"(_ms|_mb|tokens_per_second)@")
_MOBILE = re.compile(r"Android|iPhone|iPad|Mobile", re.IGNORECASE)
_ARM = re.compile(r"aarch64|arm64|\barm\b|Android|iPhone|iPad", re.IGNORECASE)
_X86 = re.compile(r"x86_64|Win64|WOW64|x64|amd64|i686|Intel Mac OS X", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Device:
    """What is known of a device; None is unknown and rules nothing out. `ram_mb` is what the model may use."""

    arch: Arch | None = None
    ram_mb: int | None = None
    gpu: bool | None = None
    mobile: bool = False


class BuildFile(BaseModel):
    """One file of a build and where it is fetched."""

    model_config = ConfigDict(frozen=True)

    path: str
    bytes: int
    sha256: str
    url: str


class Build(BaseModel):
    """One flavor as a device sees it. `measured` holds latencies (ms), memory (MB) and rates that were measured for it, by device class."""

    model_config = ConfigDict(frozen=True)

    id: str
    flavor: str
    engine: str
    digest: str
    bytes: int
    device_classes: tuple[str, ...]
    memory_floor_mb: int
    context_tokens: int
    measured: dict[str, float]
    eval: dict[str, float]
    files: tuple[BuildFile, ...]
    fits: bool
    why_not: tuple[str, ...]


def arch_of(name: str) -> Arch:
    """`x86_64`, `amd64`, `arm64`, ... as a device class; BadRequest for anything else."""
    if (found := ARCHES.get(name.strip().lower())) is None:
        raise errors.BadRequest(f"arch is one of {', '.join(sorted(ARCHES))}.", param="arch")
    return found


def sniff(headers: Mapping[str, str]) -> Device:
    """What the User-Agent and the client hints say. A browser's Device-Memory is in GiB and stops at 8; half of it is taken, for the rest is in use."""
    agent = headers.get("user-agent", "")[:512]
    hint = headers.get("sec-ch-ua-arch", "").strip('" ').lower()
    arch = ARCHES.get(hint) or ("arm" if _ARM.search(agent) else "x86" if _X86.search(agent) else None)
    mobile = headers.get("sec-ch-ua-mobile") == "?1" or bool(_MOBILE.search(agent))
    return Device(arch, _memory(headers.get("sec-ch-device-memory") or headers.get("device-memory")), None, mobile)


def fitting(written: manifest.Manifest, device: Device) -> tuple[str, ...]:
    """Why `written` does not fit `device`; empty when it does."""
    classes, why = set(written.device_classes), list[str]()
    if device.mobile and "mobile" not in classes:
        why.append("it is not built for mobile devices")
    elif device.arch is not None and not device.mobile and device.arch not in classes and not (device.gpu and "gpu" in classes):
        why.append(f"it is not built for {device.arch}")
    if classes == {"gpu"} and device.gpu is not True:
        why.append("it needs a GPU")
    if device.ram_mb is not None and written.memory_floor_mb > device.ram_mb:
        why.append(f"it needs {written.memory_floor_mb} MB of memory")
    return tuple(why)


class Builds:
    """The flavors below one folder. A flavor's files are hashed when it is first asked for, and again when a file has changed since."""

    def __init__(self, root: Path | None) -> None:
        self._root = root
        self._verified: dict[Path, tuple[object, manifest.VerifiedModel]] = {}

    async def of(self, model: str, device: Device) -> list[Build]:
        """Every build of `model` (or the one that `model:flavor` names): what fits first, and of these the largest, for fewer bits lose more. NotFound."""
        found = [await asyncio.to_thread(self._verify, folder) for folder in await asyncio.to_thread(self._folders, model)]
        if not found:
            raise errors.NotFound("There are no builds of that model here.", param="model", code="model_not_found")
        made = [_build(one, device) for one in found]
        return sorted(made, key=lambda build: (not build.fits, -build.memory_floor_mb, build.id))

    async def file(self, model: str, flavor: str, path: str | None) -> tuple[Path, manifest.ModelFile]:
        """The verified file `path` of a build (its largest when none is named) and its row in the manifest; NotFound."""
        for folder in await asyncio.to_thread(self._folders, f"{model.partition(':')[0]}:{flavor}"):
            verified = await asyncio.to_thread(self._verify, folder)
            rows = verified.manifest.files
            row = max(rows, key=lambda one: one.bytes) if path is None else next((one for one in rows if one.path == path), None)
            if row is not None:
                return folder / row.path, row
            raise errors.NotFound("The build has no file of that name; /builds lists them.", param="file")
        raise errors.NotFound("There is no such build.", param="flavor", code="model_not_found")

    def _folders(self, model: str) -> list[Path]:
        if self._root is None or not self._root.is_dir():
            return []
        name, _, flavor = model.partition(":")
        out: list[Path] = []
        for folder in manifest.find_flavors(self._root):
            try:
                written, _ = manifest.read_manifest(folder)
            except manifest.ManifestError:
                continue
            if written.model == name and flavor in ("", written.flavor) and written.adapter_of is None:
                out.append(folder)
        return out

    def _verify(self, folder: Path) -> manifest.VerifiedModel:
        state = tuple(sorted((path.name, path.stat().st_mtime_ns, path.stat().st_size) for path in folder.iterdir() if path.is_file()))
        known = self._verified.get(folder)
        if known is None or known[0] != state:
            try:
                known = self._verified[folder] = (state, manifest.load_verified(folder))
            except (manifest.ManifestError, OSError) as error:
                self._verified.pop(folder, None)
                raise errors.UpstreamFailed(
                    "A build's files are not what its manifest says; it is not served.", code="build_altered"
                ) from error
        return known[1]


def _build(verified: manifest.VerifiedModel, device: Device) -> Build:
    written = verified.manifest
    why = fitting(written, device)
    measured = {name: value for name, value in written.eval.items() if _MEASURED.search(name)}
    base = f"/v1/models/{written.model}/builds/{written.flavor}/content"
    return Build(
        id=written.id, flavor=written.flavor, engine=written.engine, digest=verified.digest, bytes=sum(file.bytes for file in written.files),
        device_classes=written.device_classes, memory_floor_mb=written.memory_floor_mb, context_tokens=written.context_tokens, measured=measured,
        eval={name: value for name, value in written.eval.items() if name not in measured},
        files=tuple(BuildFile(path=f.path, bytes=f.bytes, sha256=f.sha256, url=f"{base}?file={f.path}") for f in written.files),
        fits=not why, why_not=why,
    )  # fmt: skip


def _memory(gibibytes: str | None) -> int | None:
    try:
        value = float(gibibytes or "")
    except ValueError:
        return None
    return int(value * 512) if 0 < value <= 1024 else None
