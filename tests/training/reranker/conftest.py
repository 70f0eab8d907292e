"""Lists about houses of a colour, a BERT of a few thousand weights, and a folder that the recipe's own commands trained, exported and calibrated."""

import json
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
import torch
from rich.console import Console
from slipway_training.config import load_typed
from slipway_training.recipes import FOLDER
from slipway_training.reranker.config import RerankerConfig
from slipway_training.reranker.made import COLOURS, WORDS, tokenizer
from slipway_training.reranker.recipe import run
from transformers import BertConfig, BertModel


@pytest.fixture(scope="session")
def tiny() -> RerankerConfig:
    return load_typed(RerankerConfig, FOLDER / "reranker" / "config.tiny.yaml", [])


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with config.json, model.safetensors and tokenizer.json."""
    folder = tmp_path_factory.mktemp("bert")
    torch.manual_seed(3)
    shape = BertConfig(
        vocab_size=len(WORDS), hidden_size=32, num_hidden_layers=3, num_attention_heads=4, intermediate_size=64, max_position_embeddings=512
    )
    BertModel(shape).save_pretrained(folder)
    tokenizer(16).save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture(scope="session")
def houses(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Mined lists: sixty questions with the house that answers, and sixty without."""
    rng, rows = Random(5), list[dict[str, object]]()
    for i in range(60):
        colours = rng.sample(COLOURS, 4)
        place = rng.randrange(4)
        row: dict[str, object] = {
            "dense": [0.5] * 4,
            "words": [0.1] * 4,
            "found": 4,
            "documents": [f"house {colour}" for colour in colours],
        }
        row |= {"set": "houses" if i % 2 else "homes", "scores": [0.5, 0.4, 0.3, 0.2]}
        missing = next(colour for colour in COLOURS if colour not in colours)
        rows.append({**row, "query": f"{colours[place]} house {i}", "relevant": [place], "answerable": True})
        rows.append({**row, "query": f"{missing} house {i}", "relevant": [], "answerable": False})
    path = tmp_path_factory.mktemp("lists") / "lists.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def trained(tiny: RerankerConfig, houses: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The served folder of a tiny run, calibrated."""
    out = tmp_path_factory.mktemp("recipe")
    config = tiny.model_copy(update={"run": tiny.run.model_copy(update={"out": str(out)})})
    assert run(config, Console(quiet=True))
    command = [sys.executable, "-m", "slipway_reranker.calibrate", houses, "--scorer", out / "served", "--plot", out / "plot.svg"]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "| houses |" in done.stdout
    assert (out / "plot.svg").read_text(encoding="utf-8").startswith("<svg")
    return out / "served"
