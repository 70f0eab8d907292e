"""The recipe on a toy BERT: mined lists in, a folder out that the service loads, verifies and scores with."""

import json
import subprocess
import sys
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
from slipway_reranker.app import load_scorer
from slipway_reranker.scorer import ScorerMissing
from slipway_reranker.settings import RerankerSettings
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from transformers import BertConfig, BertModel

REPOSITORY = Path(__file__).parents[2]
COLOURS = ["red", "green", "blue", "white", "black", "grey"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recipe")
    base, out = toy_bert(folder / "base"), folder / "out"
    rng = Random(5)
    rows: list[dict[str, object]] = []
    for i in range(40):
        colours = rng.sample(COLOURS, 4)
        place = rng.randrange(4)
        documents = [f"house {colour}" for colour in colours]
        rows.append({"query": f"{colours[place]} house {i}", "documents": documents, "relevant": [place]})
        missing = next(colour for colour in COLOURS if colour not in colours)
        rows.append({"query": f"{missing} house {i}", "documents": documents, "relevant": []})
    (folder / "pairs.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    command = [sys.executable, str(REPOSITORY / "training/recipes/reranker/train.py"), str(folder / "pairs.jsonl")]
    options = ["--base", str(base), "--out", str(out), "--set", "epochs=4", "--set", "max_tokens=16"]
    done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=150, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return out


def test_the_folder_is_loaded_and_scores_in_the_unit_interval(trained: Path) -> None:
    scorer = load_scorer(RerankerSettings(scorer=str(trained)))
    scored = scorer.score("red house", ["house red", "house blue", "", "house green " * 500])
    assert all(0 < score < 1 for score in (*scored.relevance, scored.evidence))
    assert scored.truncated == (3,)


def test_batching_changes_nothing_but_time(trained: Path) -> None:
    documents = ["house red", "house blue white", "grey", "house " * 40]
    together = load_scorer(RerankerSettings(scorer=str(trained), batch_tokens=4096)).score("red house", documents).relevance
    alone = (
        load_scorer(RerankerSettings(scorer=str(trained), batch_tokens=256, max_pair_tokens=256)).score("red house", documents).relevance
    )
    np.testing.assert_allclose(together, alone, atol=0.02)  # int8 scales depend on the batch


def test_the_report_says_what_was_held_out(trained: Path) -> None:
    report = json.loads((trained / "report.json").read_text(encoding="utf-8"))
    assert report["lists"] == 80
    assert 0 < report["held_out"]["mrr_reranked"] <= 1


def test_a_file_with_one_byte_changed_is_refused(trained: Path, tmp_path: Path) -> None:
    for file in trained.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    model = tmp_path / "model.onnx"
    raw = bytearray(model.read_bytes())
    raw[len(raw) // 2] ^= 1
    model.write_bytes(raw)
    with pytest.raises(ScorerMissing, match="digests differ"):
        load_scorer(RerankerSettings(scorer=str(tmp_path)))


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ScorerMissing, match=r"without model\.onnx"):
        load_scorer(RerankerSettings(scorer=str(tmp_path)))


def test_a_service_that_cannot_load_its_scorer_does_not_start(tmp_path: Path) -> None:
    environment = {"SLIPWAY_RERANKER_SCORER": str(tmp_path), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-m", "slipway_reranker", "--port", "0"], env=environment, capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 3
    assert b"without model.onnx" in done.stderr


def toy_bert(path: Path) -> Path:
    torch.manual_seed(3)
    words = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "house", *COLOURS]
    config = BertConfig(
        vocab_size=len(words), hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, max_position_embeddings=512
    )
    BertModel(config).save_pretrained(path)
    tokenizer = Tokenizer(WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    tokenizer.save(str(path / "tokenizer.json"))
    return path
