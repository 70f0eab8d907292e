"""LoRA end to end: the search and its report, what the adapter and its merge compute, the export, and where adapters go."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from slipway_shared.manifest import load_verified
from slipway_training.cli import app
from slipway_training.errors import ExportError
from slipway_training.tuning import lora
from slipway_training.tuning.base import Opened, open_base
from slipway_training.tuning.config import Adapter
from slipway_training.tuning.search import adapter_of, open_study, report, search
from typer.testing import CliRunner

peft = pytest.importorskip("peft")

# PEFT still calls what transformers is about to rename.
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")
PROBE = list(range(10, 40))


def test_the_tiny_command_searches_tunes_merges_and_exports(tmp_path: Path, pickles: Any) -> None:
    done = CliRunner().invoke(app, ["train", "lora", "--tiny", f"run.out={tmp_path}", "search.trials=2", "data.made=60"])
    assert done.exit_code == 0, done.output
    made = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert made["held_out_loss"] < made["held_out_loss_before"]
    assert made["trained"] < 0.2 * made["parameters"]
    assert not pickles(tmp_path)
    best = json.loads((tmp_path / "search" / "trials.json").read_text(encoding="utf-8"))
    params = min((t for t in best if t["value"] is not None), key=lambda t: t["value"])["params"]
    assert made["adapter"]["rank"] == params["rank"]
    assert made["adapter"]["alpha"] == params["rank"] * params["alpha_per_rank"]
    with torch.inference_mode():
        whole = open_base(tmp_path / "hf").model(torch.tensor([PROBE])).logits
        adapted = peft.PeftModel.from_pretrained(open_base(tmp_path / "base").model, str(tmp_path / "adapter")).eval()
        beside = adapted(input_ids=torch.tensor([PROBE])).logits
        bare = open_base(tmp_path / "base").model(torch.tensor([PROBE])).logits
    assert torch.allclose(whole, beside, atol=1e-4)
    assert not torch.allclose(whole, bare, atol=1e-2)
    for engine in ("llamacpp", "vllm"):
        assert load_verified(tmp_path / "flavors" / "slipway-lora-tiny" / engine).manifest.adapter_of == "slipway-lora-base"


def told(trial: Any) -> float:
    """What a trial of the search asks for, and a value by its rank."""
    trial.suggest_categorical("alpha_per_rank", [1.0, 2.0])
    trial.suggest_categorical("targets", ["attention", "all"])
    return float(trial.suggest_categorical("rank", [2, 8]))


def test_a_stopped_search_goes_on_and_its_report_shows_every_trial(tmp_path: Path, tiny: Any) -> None:
    study = open_study(tmp_path, "lora-x", 1)
    study.optimize(told, n_trials=3)
    again = open_study(tmp_path, "lora-x", 1)
    assert len(again.trials) == 3
    page = report(again, tmp_path, "loss").read_text(encoding="utf-8")
    assert page.count("| ") > 9
    assert f"Best: trial {again.best_trial.number}" in page
    assert (tmp_path / "search.svg").stat().st_size > 2000
    config = tiny("lora", tmp_path / "run", "search.trials=3", "name=x")
    done: Any = None
    found = search(config, Path("nothing is opened: three trials are done"), done, tmp_path, Console(quiet=True))
    assert found == adapter_of(again.best_params, 0.0)


def test_a_merge_that_computes_something_else_is_refused(opened: Opened) -> None:
    model = peft.get_peft_model(opened.model, lora.peft_config(Adapter(rank=4, alpha=8.0)))
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.3)
    whole, gap = lora.merged(model, PROBE)
    assert gap < lora.MERGE_TOLERANCE
    assert not any("lora" in name for name, _ in whole.named_parameters())


def test_a_gap_is_told(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    model = peft.get_peft_model(opened.model, lora.peft_config(Adapter(rank=4, alpha=8.0)))
    monkeypatch.setattr(lora, "MERGE_TOLERANCE", -1.0)
    with pytest.raises(ExportError, match="off the adapter's"):
        lora.merged(model, PROBE)


def test_the_names_of_layers() -> None:
    assert lora.target_modules("attention") == ["q_proj", "k_proj", "v_proj", "o_proj"]
    assert set(lora.target_modules("all")) == {*lora.target_modules("attention"), *lora.target_modules("mlp")}
    assert adapter_of({"rank": 4, "alpha_per_rank": 2.0, "targets": "mlp"}, 0.1) == Adapter(rank=4, alpha=8.0, targets="mlp", dropout=0.1)
