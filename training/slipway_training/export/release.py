"""The flavors of one trained reader, each in its folder with a manifest that was read back and verified.

It knows which flavors there are, which of them are small enough to ship, and for which engine and devices. It refuses to know how tensors are written.
"""

import shutil
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from slipway_shared.manifest import MANIFEST, DeviceClass, EngineName, Manifest, VerifiedModel, describe_file, load_verified, write_manifest
from tokenizers import Tokenizer
from transformers import LlamaForCausalLM

from slipway_training.errors import ExportError
from slipway_training.export.gguf_file import write_gguf
from slipway_training.export.onnx_folder import Bits, write_hf_folder, write_onnx
from slipway_training.export.quantize import Quant, quantize_gguf


@dataclass(frozen=True, slots=True)
class Flavor:
    """One form of the weights: `quant` of a GGUF, or None for the f16 parent itself and for ONNX, whose integers are `bits` wide. `overhead_mb` is what
    its engine needs beside the weights."""

    name: str
    engine: EngineName
    entry: str
    devices: tuple[DeviceClass, ...]
    quant: Quant | None
    overhead_mb: int
    bits: Bits | None = None


FLAVORS = (
    Flavor("int8", "llamacpp", "model.gguf", ("x86", "arm"), "q8_0", 48),
    Flavor("int4", "llamacpp", "model.gguf", ("x86", "arm"), "q4_k_m", 48),
    Flavor("int4-onnx", "onnx", ".", ("x86", "arm", "mobile"), None, 96, "int4"),
    Flavor("f16", "llamacpp", "model.gguf", ("x86", "arm"), None, 48),
    Flavor("int8-onnx", "onnx", ".", ("x86", "arm", "mobile"), None, 96, "int8"),
)
SHIPPED = ("int8", "int4", "int4-onnx")
"""What is small enough for the repository; the others are made on demand (f16 as a parent to compare with, int8-onnx with its fp32 embedding)."""


def export_flavors(
    model: LlamaForCausalLM, tokenizer: Tokenizer, root: Path, name: str, flavors: tuple[str, ...] = SHIPPED
) -> list[VerifiedModel]:
    """Write the wanted `flavors` below `root`, and return them as a server will see them: verified.

    Raises ExportError, also for a flavor that there is not, and ManifestError.
    """
    if unknown := set(flavors) - {flavor.name for flavor in FLAVORS}:
        raise ExportError(f"no flavor is called {', '.join(sorted(unknown))}; there are {', '.join(flavor.name for flavor in FLAVORS)}")
    made: list[VerifiedModel] = []
    with tempfile.TemporaryDirectory() as scratch:
        parent = Path(scratch) / "f16.gguf"
        write_gguf(model, tokenizer, parent, name)
        for flavor in (f for f in FLAVORS if f.name in flavors):
            folder = root / flavor.name
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            if flavor.bits is not None:
                write_hf_folder(model, tokenizer, Path(scratch) / "hf")
                write_onnx(Path(scratch) / "hf", folder, flavor.bits)
            elif flavor.quant is None:
                shutil.copyfile(parent, folder / flavor.entry)
            else:
                quantize_gguf(parent, folder / flavor.entry, _fitting(flavor.quant, model))
            write_manifest(folder, _manifest(folder, flavor, name, model.config.max_position_embeddings))
            made.append(load_verified(folder))
    return made


def write_figures(folder: Path, figures: Mapping[str, float]) -> VerifiedModel:
    """Put measured figures into the manifest of a flavor (its digest changes, as it must)."""
    verified = load_verified(folder)
    merged = {**verified.manifest.eval, **figures}
    write_manifest(folder, verified.manifest.model_copy(update={"eval": merged}))
    return load_verified(folder)


def _fitting(quant: Quant, model: LlamaForCausalLM) -> Quant:
    """K-quants pack 256 weights of a row together; narrower models take q4_0 (packs of 32)."""
    fits = model.config.hidden_size % 256 == 0 and model.config.intermediate_size % 256 == 0
    return "q4_0" if quant == "q4_k_m" and not fits else quant


def _manifest(folder: Path, flavor: Flavor, name: str, context_tokens: int) -> Manifest:
    files = tuple(describe_file(folder, p.name) for p in sorted(folder.iterdir()) if p.is_file() and p.name != MANIFEST)
    megabytes = sum(f.bytes for f in files) / 2**20
    return Manifest(
        model=name, flavor=flavor.name, engine=flavor.engine, kind="reader", entry=flavor.entry, files=files, device_classes=flavor.devices,
        context_tokens=context_tokens, memory_floor_mb=int(megabytes) + flavor.overhead_mb, created=int(time.time()),
    )  # fmt: skip
