"""A PEFT LoRA adapter as the GGUF that llama.cpp applies, with a manifest; the PEFT folder itself is what vLLM takes.

It knows PEFT's and llama.cpp's tensor names and the rotary permutation. It refuses to know training, and what it cannot map it refuses to drop.
"""

import json
import re
import shutil
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from slipway_shared import manifest

from slipway_training.errors import ExportError, StackMissing
from slipway_training.export.gguf_file import permute

try:
    import gguf
    from safetensors.numpy import load_file
except ImportError as error:  # pragma: no cover - depends on the installation
    raise StackMissing(error.name or "gguf") from error

NAMES = {
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
}  # fmt: skip
_KEY = re.compile(r"model\.layers\.(\d+)\.([a-z_.]+)\.lora_([AB])\.weight$")


def export_adapter(peft: Path, to: Path, model: str, heads: int, kv_heads: int, context_tokens: int) -> dict[str, Path]:
    """Folders `llamacpp` and `vllm` below `to`, each verified by its manifest; `model` is the one that the adapter belongs to. Raises ExportError."""
    config = json.loads((peft / "adapter_config.json").read_text(encoding="utf-8"))
    made = {"llamacpp": to / "llamacpp", "vllm": to / "vllm"}
    for folder in made.values():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    _write_gguf(load_file(peft / "adapter_model.safetensors"), config, made["llamacpp"] / "adapter.gguf", heads, kv_heads)
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        shutil.copyfile(peft / name, made["vllm"] / name)
    for engine, folder in made.items():
        files = tuple(manifest.describe_file(folder, path.name) for path in sorted(folder.iterdir()))
        entry = "adapter.gguf" if engine == "llamacpp" else "."
        manifest.write_manifest(
            folder,
            manifest.Manifest.model_validate(
                {
                    "model": to.name,
                    "flavor": engine,
                    "engine": engine,
                    "entry": entry,
                    "files": files,
                    "context_tokens": context_tokens,
                    "adapter_of": model,
                    "created": int(time.time()),
                }
            ),
        )
        manifest.load_verified(folder)
    return made


def _write_gguf(tensors: dict[str, NDArray[np.float32]], config: dict[str, object], path: Path, heads: int, kv_heads: int) -> None:
    alpha, rank = float(str(config["lora_alpha"])), int(str(config["r"]))
    if config.get("use_rslora") or config.get("use_dora"):
        raise ExportError("llama.cpp knows plain LoRA only, neither rsLoRA nor DoRA; vLLM may take this adapter")
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", alpha)
    for key, value in sorted(tensors.items()):
        found = _KEY.search(key)
        ours = NAMES.get(found.group(2)) if found else None
        if found is None or ours is None:
            raise ExportError(f"{key} is no LoRA tensor of a Llama's linear layers")
        if rank not in value.shape:
            raise ExportError(f"{key} is not of rank {rank}")
        tensor = np.asarray(value, dtype=np.float32)
        if found.group(3) == "B" and ours in ("attn_q", "attn_k"):
            tensor = permute(tensor, heads if ours == "attn_q" else kv_heads)
        writer.add_tensor(f"blk.{found.group(1)}.{ours}.weight.lora_{found.group(3).lower()}", np.ascontiguousarray(tensor))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
