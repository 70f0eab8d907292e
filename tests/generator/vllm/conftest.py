"""A PEFT adapter for the tiny safetensors model, and what transformers says with it merged."""

import json
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def hub_adapter(adapters_root: Path, hub_folder: Path) -> Path:
    """A folder of a verified adapter in vLLM's form."""
    peft: Any = pytest.importorskip("peft", reason="peft is not installed")
    from slipway_training.export.lora_gguf import export_adapter

    shape = json.loads((hub_folder / "config.json").read_text(encoding="utf-8"))
    export_adapter(
        _tuned(peft, hub_folder, adapters_root / "peft")[1], adapters_root / "made", "tiny", 4, 2, shape["max_position_embeddings"]
    )
    (adapters_root / "made" / "vllm").rename(adapters_root / "tuned")
    return adapters_root / "tuned"


@pytest.fixture(scope="session")
def adapted_answer(hub_adapter: Path, hub_folder: Path) -> list[int]:
    """Eight greedy tokens after [10, 20, 30, 40] from the merged weights."""
    import torch
    from peft import PeftModel
    from transformers import LlamaForCausalLM

    base = LlamaForCausalLM.from_pretrained(hub_folder, dtype=torch.float32)
    merged: Any = PeftModel.from_pretrained(base, str(hub_adapter)).merge_and_unload()  # pyright: ignore[reportCallIssue]
    with torch.inference_mode():
        out = merged.generate(torch.tensor([[10, 20, 30, 40]]), max_new_tokens=8, do_sample=False)
    return [int(token) for token in out[0, 4:]]


@pytest.fixture(scope="session")
def plain_answer(hub_folder: Path) -> list[int]:
    """Forty greedy tokens (or those before the end) after six times [10, 20, 30, 40] from the weights as they are."""
    import torch
    from transformers import LlamaForCausalLM

    model: Any = LlamaForCausalLM.from_pretrained(hub_folder, dtype=torch.float32)
    with torch.inference_mode():
        out = model.generate(torch.tensor([[10, 20, 30, 40] * 6]), max_new_tokens=40, do_sample=False)
    ends = model.config.eos_token_id
    ends = ends if isinstance(ends, list) else [ends]
    return [int(token) for token in out[0, 24:] if int(token) not in ends]


def _tuned(peft: Any, hub_folder: Path, folder: Path) -> tuple[Any, Path]:
    import torch
    from transformers import LlamaForCausalLM

    torch.manual_seed(3)
    base = LlamaForCausalLM.from_pretrained(hub_folder, dtype=torch.float32)
    model = peft.get_peft_model(base, peft.LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"]))
    for name, weight in model.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(weight, std=0.3)
    model.save_pretrained(str(folder))
    return model, folder
