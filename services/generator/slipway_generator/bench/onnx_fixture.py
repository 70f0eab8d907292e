"""The same 100 million random parameters as an int4 ONNX flavor: `python -m slipway_generator.bench.onnx_fixture FOLDER`.

onnxruntime-genai's own builder makes the graph; it needs torch and transformers, which the development environment has. It refuses to know GGUF.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from slipway_shared import manifest

from slipway_generator.bench import fixture

KEPT = frozenset({".onnx", ".data", ".json"})
_NAMES = {
    "attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj", "ffn_norm": "post_attention_layernorm", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}  # fmt: skip


def main() -> int:
    """Write the folder."""
    parser = argparse.ArgumentParser(prog="slipway_generator.bench.onnx_fixture", description=(__doc__ or "").split(": ")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--layers", type=int, default=fixture.LAYERS)
    asked = parser.parse_args()
    try:
        write_onnx_fixture(asked.folder, layers=asked.layers)
    except subprocess.CalledProcessError as error:
        sys.stderr.write(f"the ONNX builder failed: {(error.stderr or error.stdout).strip()[-600:]}\n")
        return 1
    sys.stdout.write(f"{asked.folder}: {sum(path.stat().st_size for path in asked.folder.iterdir()) / 1e6:.1f} MB\n")
    return 0


def write_onnx_fixture(folder: Path, *, layers: int) -> None:
    """A verified flavor folder for onnxruntime-genai; CalledProcessError with the builder's words."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        source, out = Path(scratch) / "source", Path(scratch) / "out"
        source.mkdir()
        _write_hub_folder(source, layers)
        command = [sys.executable, "-m", "onnxruntime_genai.models.builder", "-m", str(source), "-o", str(out), "-p", "int4", "-e", "cpu"]
        offline = {**os.environ, "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
        subprocess.run([*command, "-c", f"{scratch}/cache"], env=offline, capture_output=True, text=True, check=True)
        for path in sorted(out.iterdir()):
            if path.suffix in KEPT:
                shutil.copyfile(path, folder / path.name)
    names = sorted(path.name for path in folder.iterdir() if path.name != "manifest.json")
    described = manifest.Manifest(
        model="bench", flavor="int4-onnx", created=1, context_tokens=fixture.CONTEXT, engine="onnx", entry=".",
        files=tuple(manifest.describe_file(folder, name) for name in names),
    )  # fmt: skip
    manifest.write_manifest(folder, described)


def _write_hub_folder(folder: Path, layers: int) -> None:
    from safetensors.numpy import save_file

    save_file({_hub_name(name): value for name, value in fixture.tensors(layers, copies=False)}, folder / "model.safetensors")
    tokens, merges = fixture.words()
    end, other = tokens.index("<|im_end|>"), tokens.index("<|endoftext|>")
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": fixture.WIDTH, "num_hidden_layers": layers,
        "num_attention_heads": fixture.HEADS, "num_key_value_heads": fixture.KV_HEADS, "intermediate_size": fixture.FEED_FORWARD,
        "vocab_size": fixture.VOCABULARY, "max_position_embeddings": fixture.CONTEXT, "rms_norm_eps": 1e-5, "rope_theta": fixture.ROPE_BASE,
        "hidden_act": "silu", "tie_word_embeddings": True, "bos_token_id": other, "eos_token_id": end, "pad_token_id": other, "dtype": "float32",
    }  # fmt: skip
    _write(folder / "config.json", config)
    (folder / "tokenizer.json").write_text(_tokenizer(tokens, merges), encoding="utf-8")
    named = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}
    _write(folder / "tokenizer_config.json", {**named, "chat_template": fixture.TEMPLATE})


def _tokenizer(tokens: list[str], merges: list[str]) -> str:
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    pairs = [(left, right) for left, right in (merge.split(" ") for merge in merges)]
    tokenizer = Tokenizer(models.BPE(vocab={token: number for number, token in enumerate(tokens)}, merges=pairs))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # type: ignore[assignment]
    tokenizer.decoder = decoders.ByteLevel()  # type: ignore[assignment]
    tokenizer.add_special_tokens([AddedToken(name, special=True) for name in fixture.SPECIALS])
    return tokenizer.to_str()


def _hub_name(name: str) -> str:
    if found := re.fullmatch(r"blk\.(\d+)\.(\w+)\.weight", name):
        return f"model.layers.{found[1]}.{_NAMES[found[2]]}.weight"
    return {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight"}[name]


def _write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
