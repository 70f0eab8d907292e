"""A PEFT adapter as GGUF: llama.cpp computes with it what PEFT computes, and what cannot be mapped is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
llama_cpp = pytest.importorskip("llama_cpp")

from peft import LoraConfig, get_peft_model  # noqa: E402
from safetensors.numpy import load_file, save_file  # noqa: E402
from slipway_shared.manifest import load_verified  # noqa: E402
from slipway_training.config import ModelConfig  # noqa: E402
from slipway_training.errors import ExportError  # noqa: E402
from slipway_training.export.gguf_file import write_gguf  # noqa: E402
from slipway_training.export.lora_gguf import export_adapter  # noqa: E402
from slipway_training.model import build_model  # noqa: E402
from slipway_training.tokenizer import encode  # noqa: E402
from tokenizers import Tokenizer  # noqa: E402

# PEFT still calls what transformers is about to rename.
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")
SHAPE = ModelConfig(vocab_size=600, width=64, layers=2, heads=2, kv_heads=1, mlp_width=96, context_tokens=256, copy_start=0.5)


def tuned(folder: Path, **fields: Any) -> Any:
    """A random adapter on every linear layer, saved as PEFT does."""
    torch.manual_seed(3)
    targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    model = get_peft_model(build_model(SHAPE, 1, 0, 17), LoraConfig(r=4, lora_alpha=12, target_modules=targets, **fields))
    for name, weight in model.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(weight, std=0.2)
    model.save_pretrained(str(folder))
    return model.eval()


def test_llama_cpp_computes_what_peft_computes(tokenizer: Tokenizer, tmp_path: Path) -> None:
    model = tuned(tmp_path / "peft")
    made = export_adapter(tmp_path / "peft", tmp_path / "out", "slipway-test", SHAPE.heads, SHAPE.kv_heads, SHAPE.context_tokens)
    assert load_verified(made["llamacpp"]).manifest.adapter_of == "slipway-test"
    assert load_verified(made["vllm"]).manifest.engine == "vllm"
    write_gguf(build_model(SHAPE, 1, 0, 17), tokenizer, tmp_path / "base.gguf", "base")
    ids = encode(tokenizer, "The gateway listens on port 8443.")
    with torch.inference_mode():
        wanted = model(input_ids=torch.tensor([ids])).logits[0].numpy()
    logits = {}
    for name, adapter in (("base", None), ("adapted", str(made["llamacpp"] / "adapter.gguf"))):
        opened = llama_cpp.Llama(str(tmp_path / "base.gguf"), n_ctx=256, logits_all=True, verbose=False, n_threads=1, lora_path=adapter)
        opened.eval(ids)
        logits[name] = np.array(opened.scores[: len(ids)])
        opened.close()
    assert np.abs(logits["adapted"] - wanted).max() < 0.1
    assert np.abs(logits["base"] - wanted).max() > 1.0


def test_what_llama_cpp_does_not_know_is_refused(tmp_path: Path) -> None:
    tuned(tmp_path / "peft", use_rslora=True)
    with pytest.raises(ExportError, match="plain LoRA only"):
        export_adapter(tmp_path / "peft", tmp_path / "out", "slipway-test", SHAPE.heads, SHAPE.kv_heads, SHAPE.context_tokens)
    tuned(tmp_path / "plain")
    tensors = load_file(tmp_path / "plain" / "adapter_model.safetensors")
    save_file(
        {**tensors, "base_model.model.lm_head.lora_A.weight": np.zeros((4, 64), np.float32)},
        tmp_path / "plain" / "adapter_model.safetensors",
    )
    with pytest.raises(ExportError, match="lm_head"):
        export_adapter(tmp_path / "plain", tmp_path / "out", "slipway-test", SHAPE.heads, SHAPE.kv_heads, SHAPE.context_tokens)
