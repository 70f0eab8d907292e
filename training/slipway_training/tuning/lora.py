"""LoRA: an adapter tuned by SFT, a search over its rank, alpha and places, its merge, and its export for llama.cpp and vLLM.

It knows PEFT. It refuses to export an adapter whose merge does not compute what the adapter computes.

    OUT/adapter/             PEFT's folder: adapter_config.json, adapter_model.safetensors
    OUT/hf/                  the base with the adapter merged into it
    OUT/search/              study.db, trials.json, search.svg, README.md (with search.trials)
    OUT/flavors/             GGUF and vLLM forms with manifests (with served_model)
"""

import json
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from slipway_training.errors import ExportError, StackMissing
from slipway_training.tuning import finish, processes, rows
from slipway_training.tuning.base import Opened, weights_digest
from slipway_training.tuning.config import Adapter, LoraConfig, Targets
from slipway_training.tuning.plan import tuning_rows
from slipway_training.tuning.rows import Tokens
from slipway_training.tuning.sft import counts, make_trainer, prepare
from slipway_training.tuning.trainers import fit, remember

try:
    from peft import LoraConfig as PeftLora
    from peft import PeftModel
except ImportError as error:  # pragma: no cover - depends on the installation
    raise StackMissing(error.name or "peft", "tune") from error

ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
MLP = ("gate_proj", "up_proj", "down_proj")
MERGE_TOLERANCE = 1e-3
"""Largest difference of a logit between the adapter and its merge in float32, against the largest logit."""


def run(config: LoraConfig, console: Console) -> bool:
    """Search (with search.trials), tune, merge, export (with served_model). True when done, False after a signal. Raises TrainingError."""
    if config.search.trials:
        processes.alone("the search of lora (search.trials)")
    shared = processes.join()
    folder, console = Path(config.run.out), shared.console(console)
    opened, tokens = prepare(config, folder, console)
    adapter = config.adapter
    if config.search.trials:
        from slipway_training.tuning.search import search

        found = search(config, opened.folder, tokens, folder / "search", console)
        if found is None:
            return False
        adapter = found
    remember(config, folder, weights_digest(opened.folder), tokens.count, adapter.model_dump(mode="json"))
    before = finish.mean_loss(opened.model, tokens.held_out)
    trainer = make_trainer(opened, tokens, config, folder, peft_config=peft_config(adapter))
    if not fit(trainer, config, folder, console, "lora"):
        return False
    if shared.first:
        _leave(config, adapter, opened, tokens, trainer, before, console)
    return True


def plan(config: LoraConfig) -> list[tuple[str, str]]:
    """What the run costs here, the search included: (what, value)."""
    table = tuning_rows(config)
    if config.search.trials:
        most = config.search.trials * config.search.steps
        table.append(
            ("search", f"{config.search.trials} trials of at most {config.search.steps} steps, {most:,} steps before the run itself")
        )
    return table


def peft_config(adapter: Adapter) -> PeftLora:
    """PEFT's form of `adapter`."""
    return PeftLora(
        r=adapter.rank, lora_alpha=adapter.alpha, lora_dropout=adapter.dropout, target_modules=target_modules(adapter.targets),  # type: ignore[arg-type]
        task_type="CAUSAL_LM",
    )  # fmt: skip


def target_modules(targets: Targets) -> list[str]:
    """Names of a Llama's linear layers."""
    return [*(ATTENTION if targets in ("attention", "all") else ()), *(MLP if targets in ("mlp", "all") else ())]


@torch.inference_mode()
def merged(model: PeftModel, probe: list[int]) -> tuple[Any, float]:
    """The base with the adapter in its weights, and how far its logits on `probe` are from the adapter's, relative to the largest; raises ExportError."""
    model.eval()
    ids = torch.tensor([probe])
    wanted = model(input_ids=ids).logits
    whole: Any = model.merge_and_unload()  # type: ignore[operator]
    gap = float((whole(input_ids=ids).logits - wanted).abs().max() / wanted.abs().max())
    if not gap <= MERGE_TOLERANCE:
        raise ExportError(f"the merged model's logits are {gap:.1e} off the adapter's; tune with the adapter beside the base instead")
    return whole, gap


def _leave(config: LoraConfig, adapter: Adapter, opened: Opened, tokens: Tokens, trainer: Any, before: float, console: Console) -> None:
    folder, model = Path(config.run.out), trainer.model
    after = finish.mean_loss(model, tokens.held_out)
    report = {**counts(tokens, trainer), "trained": sum(p.numel() for p in model.parameters() if p.requires_grad)}
    model.save_pretrained(str(folder / "adapter"))
    whole, gap = merged(model, tokens.train[0]["input_ids"])
    finish.write_hf(whole, opened, folder)
    report |= {"held_out_loss_before": before, "held_out_loss": after, "adapter": adapter.model_dump(mode="json"), "merge_gap": gap}
    finish.write_report(folder, report, {"rows": rows.provenance(config.data)}, opened.folder)
    if config.served_model:
        _export(folder, config, opened)
    console.print(
        f"held-out loss {before:.3f} -> {after:.3f} nats a token with {report['trained']:,} trained weights; {folder / 'adapter'} and {folder / 'hf'} are ready",
        highlight=False,
    )


def _export(folder: Path, config: LoraConfig, opened: Opened) -> None:
    from slipway_training.export.lora_gguf import export_adapter

    shape = json.loads((opened.folder / "config.json").read_text(encoding="utf-8"))
    heads = int(shape["num_attention_heads"])
    export_adapter(
        folder / "adapter", folder / "flavors" / config.name, config.served_model, heads, int(shape.get("num_key_value_heads") or heads),
        int(shape["max_position_embeddings"]),
    )  # fmt: skip
