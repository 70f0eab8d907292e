"""A Hugging Face folder as an int4 or int8 ONNX folder for onnxruntime-genai, through its own model builder.

It knows how the builder is called offline and what of its output a flavor needs. It refuses to know GGUF and manifests.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Literal

from tokenizers import Tokenizer
from transformers import LlamaForCausalLM

from slipway_training.errors import ExportError
from slipway_training.tokenizer import write_tokenizer_folder

Bits = Literal["int4", "int8"]
KEPT = frozenset({".onnx", ".data", ".json", ".jinja"})


def write_hf_folder(model: LlamaForCausalLM, tokenizer: Tokenizer, folder: Path) -> None:
    """safetensors, config and tokenizer: what `transformers` and the builder read."""
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    write_tokenizer_folder(tokenizer, folder, model.config.max_position_embeddings)


def write_onnx(hf_folder: Path, target: Path, bits: Bits = "int4") -> None:
    """Build the int4 or int8 flavor of `hf_folder` into `target`; raises ExportError with the builder's last lines."""
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "out"
        done = subprocess.run(
            [sys.executable, "-m", "onnxruntime_genai.models.builder", "-m", str(hf_folder.resolve()), "-o", str(out), "-p", bits, "-e", "cpu",
             "-c", f"{scratch}/cache"],
            env={**os.environ, "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode != 0 or not (out / "genai_config.json").is_file():
            raise ExportError(f"the ONNX builder failed: {(done.stderr or done.stdout).strip()[-600:]}")
        for path in sorted(out.iterdir()):
            if path.suffix in KEPT:
                shutil.copyfile(path, target / path.name)
